"""CSV and Parquet as rows, with an error that names missing columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from qa.data.formats.files import DataFile, decode
from qa.data.formats.json_rows import Row
from qa.data.formats.row_to_example import ANSWER_KEYS, ID_KEYS
from qa.engine.errors import UserError, require, shown

COLUMNS = (*ID_KEYS, "title", "context", "question", *ANSWER_KEYS, "answer_start", "is_impossible")
LONGEST_CELL = 2**31 - 1  # by default, csv refuses cells above 131,072 characters


def csv_rows(file: DataFile, labelled: bool) -> Iterator[Row]:
    """Yield the rows of a CSV file with a header.

    The delimiter is the one of `,` `;` tab that the header has most often. `labelled` rows must
    have ids and answers.
    """
    text = decode(file)
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    # newline="": line ends inside a context stay as they are.
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = iter(partial(read_cells, lines), None)
    try:
        columns = [name.strip() for name in next(rows, [])]
        require_columns(columns, file.name, labelled, one_answer=True)
        for cells in rows:
            where = f"{file.name}: line {lines.line_num}"
            if not cells:
                continue
            require(
                len(cells) == len(columns),
                f"{where} has {len(cells)} cells, the header {len(columns)}",
            )
            yield where, _from_text(dict(zip(columns, cells, strict=True)))
    except csv.Error as error:
        raise UserError(f"{file.name}: line {lines.line_num} is not CSV ({error})") from error


def read_cells(lines: Iterator[list[str]]) -> list[str] | None:
    """Return the next row of a `csv.reader`, whatever the length of its cells; None after the last.

    csv has one limit on cells for the whole process, so it is lifted for one row at a time: between
    two rows other code runs, and may never ask for the next row.
    """
    limit = csv.field_size_limit(LONGEST_CELL)
    try:
        return next(lines, None)
    finally:
        csv.field_size_limit(limit)


def parquet_rows(file: DataFile, labelled: bool) -> Iterator[Row]:
    """Yield the rows of a Parquet file; `labelled` rows must have ids and answers."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(file.content))
        names = table.schema_arrow.names
        require_columns(names, file.name, labelled, one_answer=False)
        known = [name for name in names if name in COLUMNS]  # not KorQuAD 2.x's large raw_html
        for batch in table.iter_batches(batch_size=1000, columns=known):
            for row in batch.to_pylist():
                yield f"{file.name}: row {number}", row
                number += 1
    except UserError:
        raise
    except (pyarrow.lib.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{file.name}: is not a whole Parquet file ({reason})") from error


def require_columns(names: list[str], where: str, labelled: bool, one_answer: bool) -> None:
    """Raise UserError, naming them, if columns are missing or appear twice.

    Args:
        names: The columns of the table.
        where: The table, for the message.
        labelled: Ids and answers are needed too.
        one_answer: A row holds one answer, as a text with its answer_start beside it.
    """
    needed: list[tuple[str, ...]] = [("context",), ("question",)]
    if labelled:
        needed = [ID_KEYS, *needed, ANSWER_KEYS, *[("answer_start",)] * one_answer]
    missing = [keys[0] for keys in needed if not set(keys) & set(names)]
    found = ", ".join(map(shown, names[:8])) or "none"
    require(
        not missing,
        f"{where}: column {', '.join(missing)} missing; found {found}",
    )
    twice = [name for name in COLUMNS if names.count(name) > 1]
    require(not twice, f"{where}: column {', '.join(twice)} stands twice")


def _from_text(row: dict[str, str]) -> dict[str, Any]:
    """Return the cells, which CSV has as text, with None for no answer and answer_start as int."""
    values: dict[str, Any] = dict(row)
    start = row.get("answer_start", "").strip()
    # pandas writes 5.0 where another row of the column is empty.
    if re.fullmatch(r"-?[0-9]{1,15}(\.0)?", start):
        values["answer_start"] = int(start.removesuffix(".0"))
    for key in ("answer_start", *ANSWER_KEYS):
        if values.get(key) == "":
            values[key] = None
    return values
