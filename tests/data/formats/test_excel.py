"""Excel workbooks: the values of their cells as the same examples, or one line."""

from __future__ import annotations

import builtins
import datetime
import io
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from support.articles import article_examples
from support.data_files import flat_rows, xlsx_bytes, zip_bytes
from support.reading import ANSWERED, CONTEXT, QUESTION, read, write

from qa.engine.errors import UserError


def test_a_workbook(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.xlsx", xlsx_bytes(flat_rows()))) == (article_examples(), [])
    packed = zip_bytes({"x/a.XLSX": xlsx_bytes(flat_rows())})
    assert read(write(tmp_path / "a.zip", packed)) == (article_examples(), [])


def test_what_people_leave_in_a_sheet(tmp_path: Path) -> None:
    """Capitals and blanks in the header, empty rows, columns beside, numbers as they come."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append([])
    sheet.append(["ID ", "Context", " Question", "Answer", "Answer Start", None, "Note"])
    sheet.append([])
    sheet.append([1, CONTEXT, "언제 태어났나?", "1921년", 5, None, 3.5])
    sheet.append([" ", None, "", None, None, None, None])
    sheet.append([2.0, CONTEXT, "왜?", " ", None])
    sink = io.BytesIO()
    book.save(sink)
    examples, notices = read(write(tmp_path / "a.xlsx", sink.getvalue()))
    assert (examples[0], notices) == (ANSWERED, [])
    assert [(e.id, e.answers) for e in examples[1:]] == [("2", ())]


def test_other_sheets_are_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "빈 것"
    for title in ("자료", "메모", "더"):
        sheet = book.create_sheet(title)
        sheet.append(["id", "context", "question", "answer", "answer_start"])
        sheet.append(["1", CONTEXT, "언제 태어났나?", "1921년", "5"])
    sink = io.BytesIO()
    book.save(sink)
    path = write(tmp_path / "a.xlsx", sink.getvalue())
    assert read(path) == ([ANSWERED], ["sheet 자료 is read, 메모, 더 is not"])


def test_characters_that_excel_escapes(tmp_path: Path) -> None:
    row = {"id": "1", "context": "강_x000D_\n_x005F_x000D_나루", "question": "?"}
    content = xlsx_bytes([{**row, "answer": "나루", "answer_start": 10}])
    (example,), _ = read(write(tmp_path / "a.xlsx", content))
    assert example.context == "강\r\n_x000D_나루"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"answer": datetime.datetime(1921, 1, 1)}, "row 2: an answer needs text, a string"),
        ({"question": 3}, "row 2: question must be a string"),
        ({"context": None}, "row 2: context must be a string"),
        ({"answer_start": 5.5}, "row 2: answer_start must be a whole number, not 5.5"),
    ],
)
def test_wrong_cells(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    rows = [{**QUESTION, "answer": "1921년", "answer_start": 5, **changes}]
    path = write(tmp_path / "a.xlsx", xlsx_bytes(rows))
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {expected}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is not a whole Excel workbook"),
        (xlsx_bytes(flat_rows())[:3000], "is not a whole Excel workbook"),
        (zip_bytes({"a.xml": b""}), "is not a whole Excel workbook"),
        (xlsx_bytes([{"": None}]), "holds no table"),
        (xlsx_bytes([{"id": 1, "context": "강"}]), "column question, answers (or answer, with"),
    ],
)
def test_wrong_workbooks(content: bytes, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", content)
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(caught.value)


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_openpyxl(name: str, *rest: Any, **more: Any) -> Any:
        if name == "openpyxl":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_openpyxl)
    with pytest.raises(UserError, match=r"a\.xlsx: to read Excel files: pip install qa\[excel\]"):
        read(write(tmp_path / "a.xlsx", b""))
