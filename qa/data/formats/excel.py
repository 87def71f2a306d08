"""Excel workbooks as rows."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from qa.data.formats.files import DataFile
from qa.data.formats.findings import Findings
from qa.data.formats.json_rows import Row
from qa.data.formats.tables import require_columns
from qa.engine.errors import UserError, first_few, shown

ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")  # a character that XML lacks, also in _x005F_, a "_"
Sheet = list[tuple[Any, ...]]


def excel_rows(file: DataFile, labelled: bool, findings: Findings) -> Iterator[Row]:
    """Yield the rows of the first sheet of a workbook that holds anything.

    The first row that is not empty is the header; empty rows are left out. Cells hold the values
    that Excel stored last, not their formulas. `findings` is told of other sheets.
    """
    sheets = _sheets(file)
    names = [name for name, rows in sheets.items() if any(map(_is_filled, rows))]
    if not names:
        raise UserError(f"{file.name}: holds no table")
    if len(names) > 1:
        others = first_few(names[1:])
        findings.say(f"{file.name}: sheet {shown(names[0])} is read, {others} is not")
    columns: list[str] | None = None
    for number, cells in enumerate(sheets[names[0]], 1):
        if not _is_filled(cells):
            continue
        if columns is None:
            columns = ["" if cell is None else str(cell).strip() for cell in cells]
            require_columns(columns, file.name, labelled)
            continue
        # A sheet read at once may leave out empty cells at the end of a row.
        cells = (*cells, *[None] * (len(columns) - len(cells)))
        yield f"{file.name}: row {number}", dict(zip(columns, map(_value, cells), strict=False))


def _sheets(file: DataFile) -> dict[str, Sheet]:
    """Return the cells of all sheets by their names."""
    try:
        import openpyxl
    except ImportError as error:
        raise UserError(
            f"{file.name}: to read Excel files: pip install qa[excel], or save it as CSV UTF-8"
        ) from error
    try:
        book = openpyxl.load_workbook(io.BytesIO(file.content), read_only=True, data_only=True)
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # some tools write a wrong size, which would cut the table
        return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}
    except Exception as error:  # a damaged workbook makes openpyxl raise anything at all
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(f"{file.name}: is not a whole Excel workbook ({reason})") from error


def _is_filled(cells: tuple[Any, ...]) -> bool:
    """Return whether a row has a cell that is not empty."""
    return any(cell is not None and str(cell).strip() for cell in cells)


def _value(cell: Any) -> Any:
    """Return a cell, None for an empty one; Excel writes a carriage return as _x000D_."""
    if not isinstance(cell, str):
        return cell
    return ESCAPED.sub(lambda found: chr(int(found[1], 16)), cell) if cell.strip() else None
