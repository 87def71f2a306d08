"""The files that hold predictions, as {id: value} or as rows: JSON, JSON lines, CSV, TSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from qa.data.formats.files import DataFile, decode
from qa.engine.errors import UserError, require, shown
from qa.engine.json_files import kind_of


def prediction_rows(file: DataFile) -> dict[str, Any] | Iterator[tuple[str, dict[str, Any]]]:
    """Return the object that a file is, or its rows with their places; UserError if neither."""
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
        if _is_json(text.lstrip().partition("\n")[0]):
            return _line_rows(file.name, text)
        raise UserError(f"{file.name}: is not JSON ({error})") from error
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
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{name}: line {number}"
            try:
                row = _parse(line, where)
            except UserError:
                raise
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where} is not JSON ({error})") from error
            if not isinstance(row, dict):
                raise UserError(
                    f"{where} is {kind_of(row)}, not an object with id and prediction_text"
                )
            yield where, row


def _table_rows(name: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of CSV text with a header; the delimiter is that of the header.

    Between tabs a `"` is a character unless there is a `""`, so that none swallows a line.
    """
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    quotes = delimiter != "\t" or '""' in text
    lines = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        strict=True,
    )
    try:
        columns = next(lines, [])
        for cells in lines:
            where = f"{name}: line {lines.line_num}"
            if any(cell.strip() for cell in cells):
                counts = f"{len(cells)} cells, the header {len(columns)}"
                require(len(cells) == len(columns), f"{where} has {counts}")
                yield where, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        raise UserError(f"{name}: line {lines.line_num} is not CSV ({error})") from error


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


def _is_json(line: str) -> bool:
    """Return whether a line is JSON by itself."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
