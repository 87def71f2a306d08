"""Excel workbooks as rows."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from qa.data.formats.files import DataFile
from qa.data.formats.json_rows import Row
from qa.data.formats.names import by_field
from qa.data.formats.splits import choose, split_of
from qa.data.formats.tables import missing_columns, require_columns
from qa.engine.errors import UserError, cut, first_few, notice, require

ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")  # a character that XML lacks, also in _x005F_, a "_"
Sheet = list[tuple[Any, ...]]


def excel_rows(file: DataFile, labelled: bool, split: str, is_named: bool = False) -> Iterator[Row]:
    """Yield the rows of the sheets of a workbook that hold questions.

    If the names of these sheets tell splits, `splits.choose` says which are read; otherwise the
    first one is. The first row that is not empty is the header; empty rows are left out. Cells hold
    the values that Excel stored last, not their formulas. A `Notice` names what is not read.
    """
    sheets = _sheets(file)
    headers = {
        name: _texts(next(filter(_is_filled, rows)))
        for name, rows in sheets.items()
        if any(map(_is_filled, rows))
    }
    require(headers, f"{file.name}: holds no table")
    tables = [name for name, header in headers.items() if not missing_columns(header, labelled)]
    read = tables or list(headers)[:1]
    others = [name for name in headers if name not in read]
    if is_named or any(map(split_of, tables)):
        read = choose(read, file.name, split, is_named, "sheets")
    else:
        read, others = read[:1], [*read[1:], *others]
    if others:
        notice(f"{file.name}: sheet {first_few(read)} is read, {first_few(others)} is not")
    for name in read:
        require_columns(headers[name], file.name, labelled)
        _notice_formulas(file, name, sheets[name])
        yield from _rows(file.name, sheets[name], headers[name])


def _rows(where: str, sheet: Sheet, header: list[str]) -> Iterator[Row]:
    """Yield the rows of a sheet, without empty ones and those that repeat the header."""
    for number, cells in enumerate(sheet, 1):
        if not _is_filled(cells) or _texts(cells) == header:
            continue
        # A sheet read at once may leave out empty cells at the end of a row.
        cells = (*cells, *[None] * (len(header) - len(cells)))
        row = dict(zip(header, map(_value, cells), strict=False))
        require(
            by_field(row).get("context") is not None,
            f"{where}: row {number}: the context is empty; of merged cells only the first one holds"
            " the text, so fill in the others",
        )
        yield f"{where}: row {number}", row


def _sheets(file: DataFile, formulas: bool = False) -> dict[str, Sheet]:
    """Return the cells of all sheets by their names, as values or else as formulas."""
    try:
        import openpyxl
    except ImportError as error:
        raise UserError(
            f"{file.name}: to read Excel files: pip install qa[excel], or save it as CSV UTF-8"
        ) from error
    try:
        content = io.BytesIO(file.content)
        book = openpyxl.load_workbook(content, read_only=True, data_only=not formulas)
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # some tools write a wrong size, which would cut the table
        return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}
    except Exception as error:  # a damaged workbook makes openpyxl raise anything at all
        reason = cut(str(error)) or type(error).__name__
        raise UserError(f"{file.name}: is not a whole Excel workbook ({reason})") from error


def _notice_formulas(file: DataFile, name: str, values: Sheet) -> None:
    """Give a `Notice` of the formulas in a sheet that no program has computed: empty cells here."""
    with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
        parts = [part for part in archive.namelist() if part.startswith("xl/worksheets/sheet")]
        if not any(re.search(b"<f[ >/]", archive.read(part)) for part in parts):
            return  # so that most workbooks are read only once
    from openpyxl.utils import get_column_letter

    lost = [
        f"{get_column_letter(column)}{number}"
        for number, (cells, formulas) in enumerate(
            zip(values, _sheets(file, formulas=True)[name], strict=True), 1
        )
        for column, (cell, formula) in enumerate(zip(cells, formulas, strict=False), 1)
        if cell is None and isinstance(formula, str) and formula.startswith("=")
    ]
    if lost:
        notice(
            f"{file.name}: {len(lost):,} cells hold formulas without a value, so they count as"
            f" empty ({first_few(lost)}); open the file in Excel and save it"
        )


def _texts(cells: tuple[Any, ...]) -> list[str]:
    """Return the cells of a header as the names of columns."""
    return ["" if cell is None else str(cell).strip() for cell in cells]


def _is_filled(cells: tuple[Any, ...]) -> bool:
    """Return whether a row has a cell that is not empty."""
    return any(cell is not None and str(cell).strip() for cell in cells)


def _value(cell: Any) -> Any:
    """Return a cell, None for an empty one; Excel writes a carriage return as _x000D_."""
    if not isinstance(cell, str):
        return cell
    return ESCAPED.sub(lambda found: chr(int(found[1], 16)), cell) if cell.strip() else None
