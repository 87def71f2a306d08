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
from support.reading import ANSWERED, CONTEXT, QUESTION, UNANSWERED, read, write

from qa.data.formats import read_examples
from qa.engine.errors import Notice, UserError


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
        ({"question": 3}, "row 2: question must be a string, not 3"),
        ({"question": None}, "row 2: question must be a string, but it is null"),
        ({"context": None}, "row 2: the context is empty; of merged cells only the first one"),
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
        (xlsx_bytes([{"id": 1, "context": "강"}]), "column question, answers (or answer) missi"),
    ],
)
def test_wrong_workbooks(content: bytes, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", content)
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(caught.value)


def workbook(sheets: dict[str, list[list[Any]]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def table(answer: str, start: int) -> list[list[Any]]:
    header = [*QUESTION, "answer", "answer_start"]
    return [header, [*QUESTION.values(), answer, start]]


def test_sheets_that_are_called_after_splits(tmp_path: Path) -> None:
    """The tests come first, so that without the names they would be trained on."""
    sheets = {"메모": [["숨김"]], "test": table("강나루", 0), "train": table("1921년", 5)}
    path = write(tmp_path / "a.xlsx", workbook(sheets))
    notes = ["sheet train is read, 메모 is not", "sheet test is read, 메모 is not"]
    kinds = "1 of 2 sheets are read, the split {0} ({0}), and these are not: {1}"
    found, notices = read(path)
    assert (found, notices) == ([ANSWERED], [kinds.format("train", "test"), notes[0]])
    for source in (f"{path}:test", f"{path}:시험"):
        with pytest.warns(Notice):
            assert [e.answers for e in read_examples(source)] == [("강나루",)]
    with pytest.raises(UserError, match=r"a.xlsx: has no split validation, only train, test; .*:t"):
        read_examples(f"{path}:dev")


def test_the_first_sheet_with_questions_is_read(tmp_path: Path) -> None:
    sheets = {"설명": [["만든 사람"], ["강"]], "표": table("1921년", 5), "옛것": table("없다", 0)}
    found, notices = read(write(tmp_path / "a.xlsx", workbook(sheets)))
    assert (found, notices) == ([ANSWERED], ["sheet 표 is read, 옛것, 설명 is not"])


def test_formulas_that_were_never_computed(tmp_path: Path) -> None:
    """A library writes them without a value; the answer would be lost without a word."""
    rows = [*table('="1921"&"년"', 5), [], ["=ROW()", *list(QUESTION.values())[1:], "1921년", 5]]
    found, notices = read(write(tmp_path / "a.xlsx", workbook({"표": rows})))
    assert [e.answers for e in found] == [(), ("1921년",)]
    assert notices[0] == (
        "2 cells hold formulas without a value, so they count as empty (D2, A4); open the file in"
        " Excel and save it"
    )


def test_a_header_that_is_repeated(tmp_path: Path) -> None:
    rows = table("1921년", 5)
    path = write(tmp_path / "a.xlsx", workbook({"표": [*rows, *rows]}))
    found, notices = read(path)
    assert [e.answers for e in found] == [("1921년",)]
    assert read(path, labelled=False)[0] == [UNANSWERED]


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_openpyxl(name: str, *rest: Any, **more: Any) -> Any:
        if name == "openpyxl":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_openpyxl)
    with pytest.raises(UserError, match=r"a\.xlsx: to read Excel files: pip install qa\[excel\]"):
        read(write(tmp_path / "a.xlsx", b""))
