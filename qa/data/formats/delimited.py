"""CSV and TSV text as rows of cells: which delimiter, and whether `"` quotes or is a character.

Files separated by tabs are mostly written without quoting, so there `"` is a character unless the
file shows that it quotes; in other files it quotes. No row may be swallowed either way: a `"` that
is meant as a character must not make one cell of all lines up to the next one.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from qa.data.formats.names import known_keys
from qa.engine.errors import UserError, require

LONGEST_CELL = 2**31 - 1  # by default, csv refuses cells above 131,072 characters
QUOTED = re.compile(r'"(?:[^"]|"")*"')
DOUBLE_IT = 'a " inside a cell in " must stand twice ("")'


def table_rows(
    name: str,
    text: str,
    refuses_doubts: bool = True,
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line at which a row ends and its cells, the header first; empty rows are left out.

    The delimiter is that of a first line as `sep=;`, which Excel reads, or the one of `,` `;` `|`
    and tab that the header has most often; a blank that the header has behind each belongs to it.
    Raises UserError, naming the file and the line, for rows that do not have the cells of the
    header, and for quotes that cannot be understood in one way only; without `refuses_doubts` those
    are taken for quotes, where swallowed rows are found missing.
    """
    named = re.match(r'"?sep=([,;|:\t])\1*"?\r?\n', text, re.IGNORECASE)
    lines_before = 1 if named else 0
    text = text[named.end() :] if named else text
    delimiter = named[1] if named else max(",;|\t", key=text.split("\n", 1)[0].count)
    has_blanks = all(name[:1] == " " for name in text.split("\n", 1)[0].split(delimiter)[1:])
    lines = _Lines(text)
    reader = _reader(lines, delimiter, _quotes(text, delimiter), has_blanks)
    columns: list[str] | None = None
    while True:
        begin = lines_before + reader.line_num + 1
        lines.taken.clear()
        try:
            cells = next_row(reader)
        except csv.Error as error:
            raise UserError(f"{name}: line {begin} is not CSV ({_reason(error)})") from error
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        line = lines_before + reader.line_num
        columns = cells if columns is None else columns
        cells = _without_empty_ends(cells, len(columns))
        require(
            len(cells) == len(columns),
            f"{name}: line {line} has {len(cells)} cells, the header {len(columns)}",
        )
        require(
            not refuses_doubts
            or len(lines.taken) < 2
            or not _swallows(lines.taken, cells, columns, delimiter, has_blanks),
            f'{name}: line {begin}: the " that opens a cell here closes in line {line}, though the'
            f" lines between look like rows of their own; {DOUBLE_IT}",
        )
        yield line, cells


def next_row(reader: Iterator[list[str]]) -> list[str] | None:
    """Return the next row of a `csv.reader`, whatever the length of its cells; None after the last.

    csv has one limit on cells for the whole process, so it is lifted for one row at a time: between
    two rows other code runs, and may never ask for the next row.
    """
    limit = csv.field_size_limit(LONGEST_CELL)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(limit)


class _Lines:
    """The lines of a text with their ends, as they are; `taken` holds those of the last row."""

    def __init__(self, text: str) -> None:
        self.stream = io.StringIO(text, newline="")  # line ends inside a context stay as they are
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self.stream:
            self.taken.append(line)
            yield line


def _reader(lines: _Lines, delimiter: str, quotes: bool, has_blanks: bool = False) -> Any:
    """Return the `csv.reader` of these lines, whose type has no name."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    return csv.reader(
        iter(lines),
        delimiter=delimiter,
        quoting=quoting,
        skipinitialspace=has_blanks,
        strict=True,
    )


def _quotes(text: str, delimiter: str) -> bool:
    """Return whether `"` quotes cells in this file.

    A file separated by tabs shows it by a quoted cell in the header or with `""` in it, or by being
    a table of equal rows only so.
    """
    if delimiter != "\t":
        return True
    if '"' not in text:
        return False
    number, is_table = 0, True
    for cells in _all_rows(text, delimiter, quotes=False):
        quoted = [cell for cell in cells if QUOTED.fullmatch(cell)]
        if quoted and (number == 0 or any('""' in cell[1:-1] for cell in quoted)):
            return True
        number = number or len(cells)
        is_table = is_table and len(_without_empty_ends(cells, number)) == number
    if is_table:
        return False
    try:
        rows = list(_all_rows(text, delimiter, quotes=True))
    except csv.Error:
        return False
    return all(len(_without_empty_ends(cells, len(rows[0]))) == len(rows[0]) for cells in rows)


def _all_rows(text: str, delimiter: str, quotes: bool) -> Iterator[list[str]]:
    """Yield all rows that are not empty."""
    reader = _reader(_Lines(text), delimiter, quotes)
    while (cells := next_row(reader)) is not None:
        if any(cell.strip() for cell in cells):
            yield cells


def _swallows(
    lines: Sequence[str],
    cells: list[str],
    columns: list[str],
    delimiter: str,
    has_blanks: bool,
) -> bool:
    """Return whether a row of several lines could be rows that a stray `"` made one of.

    Prose has a blank after its commas and no number at its end, so that the lines of a quoted
    paragraph hardly ever all look like rows. Nor do cells with both tabs and line ends.
    """
    if delimiter == "\t":
        return any("\t" in cell and ("\n" in cell or "\r" in cell) for cell in cells)
    end = re.escape(delimiter)
    cell_alone = re.compile(rf"(?:^|{end})({QUOTED.pattern}(?={end}|$)|[^{end}]*)")
    starts = [columns.index(key) for key in known_keys(columns, "answer_start")]
    for line in filter(str.strip, lines):
        line = line.replace(f"{delimiter} ", delimiter) if has_blanks else line
        alone = cell_alone.findall(line.rstrip("\r\n"))
        if len(alone) != len(columns) or any(cell[:1].isspace() for cell in alone):
            return False
        if any(not re.fullmatch(r'"?-?[0-9.,]*"?', alone[i].strip()) for i in starts):
            return False
    return True


def _without_empty_ends(cells: list[str], number: int) -> list[str]:
    """Return the cells without the empty ones that are beyond `number` of them."""
    while len(cells) > number and not cells[-1].strip():
        cells = cells[:-1]
    return cells


def _reason(error: csv.Error) -> str:
    """Return what is wrong with a row, in words that say how to mend it."""
    text = str(error)
    if "unexpected end" in text:
        return f'the " that opens a cell is never closed; {DOUBLE_IT}'
    if "expected after" in text:
        return f'a cell in " goes on after its closing "; {DOUBLE_IT}'
    return text
