"""The files that hold predictions, as {id: value} or as rows: JSON, JSON lines, CSV, TSV."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from qa.data.formats.delimited import table_rows
from qa.data.formats.files import DATA_SUFFIXES, TEXT_SUFFIXES, DataFile, decode
from qa.data.formats.json_mistakes import reason_of
from qa.data.formats.json_rows import follows_a_line, json_lines
from qa.engine.errors import UserError, require, shown
from qa.engine.json_files import kind_of


def prediction_rows(file: DataFile) -> dict[str, Any] | Iterator[tuple[str, dict[str, Any]]]:
    """Return the object that a file is, or its rows with their places; UserError if neither."""
    is_table = file.suffix in DATA_SUFFIXES and file.suffix not in TEXT_SUFFIXES
    require(not is_table, f"{file.name}: predictions are text; save them as CSV (UTF-8) or JSON")
    text = decode(file)
    if file.suffix in (".csv", ".tsv"):
        return _table_rows(file.name, text)
    if file.suffix in (".jsonl", ".ndjson"):
        return _line_rows(file.name, text)
    try:
        content = _parse(text, file.name)
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        if follows_a_line(error, text):
            return _line_rows(file.name, text)
        raise UserError(f"{file.name}: is not JSON ({reason_of(error, text)})") from error
    if isinstance(content, dict):
        return content
    require(
        isinstance(content, list),
        f"{file.name}: expected an object {{id: text}} or a list of rows, but it is"
        f" {kind_of(content)}",
    )
    return _list_rows(file.name, content)


def _list_rows(name: str, entries: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a list of JSON."""
    for number, row in enumerate(entries):
        where = f"{name}: entry {number}"
        if not isinstance(row, dict):
            raise UserError(f"{where} is {kind_of(row)}, not an object with id and prediction_text")
        yield where, row


def _line_rows(name: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of JSON lines."""
    # Not splitlines: it also splits at U+2028, which JSON strings may hold as it is.
    for where, row in json_lines(name, text.split("\n"), _parse):
        if not isinstance(row, dict):
            raise UserError(f"{where} is {kind_of(row)}, not an object with id and prediction_text")
        yield where, row


def _table_rows(name: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of CSV or TSV text with a header."""
    # A stray quote can take the next rows into a cell. Their questions are then said to have no
    # prediction, while a text of two lines with commas, which looks the same, may well be one.
    rows = table_rows(name, text, refuses_doubts=False)
    _, columns = next(rows, (0, []))
    twice = [column for column in columns if column.strip() and columns.count(column) > 1]
    require(not twice, f"{name}: column {', '.join(dict.fromkeys(twice))} stands twice")
    for line, cells in rows:
        yield f"{name}: line {line}", dict(zip(columns, cells, strict=True))


def _parse(text: str, where: str) -> Any:
    """Return the value of JSON text; UserError if an object has a key twice, ValueError if none."""
    return json.loads(text, object_pairs_hook=partial(_object, where))


def _object(where: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object as a dict; UserError if two have one key."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        require(key not in found, f"{where}: {shown(key)!r} stands twice")
        found[key] = value
    return found
