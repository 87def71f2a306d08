"""CSV as rows, and which columns a table must have."""

from __future__ import annotations

from collections.abc import Iterator

from qa.data.formats.answers import has_answer_field
from qa.data.formats.delimited import table_rows
from qa.data.formats.files import DataFile, decode
from qa.data.formats.json_rows import Row
from qa.data.formats.names import by_field, known_keys
from qa.engine.errors import require, shown


def csv_rows(file: DataFile, labelled: bool) -> Iterator[Row]:
    """Yield the rows of a CSV file with a header; `labelled` rows must have answers."""
    rows = table_rows(file.name, decode(file))
    _, header = next(rows, (0, []))
    columns = _stripped(header)
    require(columns, f"{file.name}: is empty; expected a header and a row for each question")
    require_columns(columns, file.name, labelled)
    # In text an empty cell is no answer: null, not an answer that is empty.
    optional = [*known_keys(columns, "answers"), *known_keys(columns, "spans")]
    for line, cells in rows:
        if _stripped(cells) == columns:  # of a second file behind the first one
            continue
        row: dict[str, str | None] = dict(zip(columns, cells, strict=True))
        for key in optional:
            row[key] = row[key] or None
        yield f"{file.name}: line {line}", row


def require_columns(names: list[str], where: str, labelled: bool) -> None:
    """Raise UserError, naming them, if columns are missing or appear twice.

    Args:
        names: The columns of the table.
        where: The table, for the message.
        labelled: Answers are needed too.
    """
    missing = missing_columns(names, labelled)
    found = ", ".join(map(shown, names[:8])) or "none"
    require(not missing, f"{where}: column {', '.join(missing)} missing; found {found}")
    twice = [name for name in known_keys(names) if names.count(name) > 1]
    require(not twice, f"{where}: column {', '.join(map(shown, twice))} stands twice")


def missing_columns(names: list[str], labelled: bool) -> list[str]:
    """Return which columns a table lacks, as a message names them."""
    fields = by_field(dict.fromkeys(names, ""))
    missing = [field for field in ("context", "question") if field not in fields]
    if labelled and not has_answer_field(fields):
        missing.append("answers (or answer)")
    return missing


def _stripped(cells: list[str]) -> list[str]:
    """Return cells without blanks and byte-order marks at their ends."""
    return [cell.strip().strip("\ufeff") for cell in cells]
