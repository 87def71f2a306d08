"""CSV and TSV: quotes that quote and quotes that do not. Rows in are examples out, or an error."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.reading import read, write

from qa.data.formats.delimited import QUOTED
from qa.engine.errors import UserError

COLUMNS = ("id", "context", "question")
fuzz = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def unlabelled(path: Path, content: str) -> list[tuple[str, ...]]:
    """The ids, contexts and questions of a table."""
    examples, _ = read(write(path, content), labelled=False)
    return [(e.id, e.context, e.question) for e in examples]


def tsv(*rows: tuple[str, ...], columns: tuple[str, ...] = COLUMNS) -> str:
    return "".join("\t".join(cells) + "\n" for cells in (columns, *rows))


@pytest.mark.parametrize(
    "rows",
    [
        [("1", '"한빛" 마을', "언제?"), ("2", '한빛 "마을"', "언제?")],
        [
            ("1", '"한빛 마을', "언제?"),
            ("2", "우물", "몇?"),
            ("4", '우물"', "몇?"),
            ("5", "우물", "?"),
        ],
        [("1", '"한빛', "언제?"), ("2", "우물", "몇?")],
        [("1", '한빛"', "언제?"), ("2", "우물", '"몇?')],
        [("1", '"한빛"', "언제?"), ("2", '"', '""')],
        [("1", '"한빛""마을', "언제?"), ("2", "우물", "?")],
    ],
)
def test_quotes_in_tsv_are_characters(rows: list[tuple[str, ...]], tmp_path: Path) -> None:
    for name in ("a.tsv", "a.csv"):
        assert unlabelled(tmp_path / name, tsv(*rows)) == rows
    windows = tsv(*rows).replace("\n", "\r\n")
    assert unlabelled(tmp_path / "a.tsv", windows) == rows


def test_answers_of_unquoted_tsv(tmp_path: Path) -> None:
    columns = (*COLUMNS, "answer", "answer_start")
    rows = [("1", '"한빛" 마을은 1987년', "언제?", "1987년", "9"), ("2", '"', "?", '"', "0")]
    examples, notices = read(write(tmp_path / "a.tsv", tsv(*rows, columns=columns)))
    assert [(e.answers, e.answer_starts) for e in examples] == [(("1987년",), (9,)), (('"',), (0,))]
    assert notices == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # A doubled quote, a line end or a tab in a cell, a quoted header: the file quotes.
        ('1\t"""한빛"" 마을"\t?\n', [("1", '"한빛" 마을', "?")]),
        ('1\t"한빛\n마을"\t?\n', [("1", "한빛\n마을", "?")]),
        ('1\t"한빛\t마을"\t?\n', [("1", "한빛\t마을", "?")]),
    ],
)
def test_tsv_that_quotes(content: str, expected: list[Any], tmp_path: Path) -> None:
    assert unlabelled(tmp_path / "a.tsv", tsv() + content) == expected


def test_tsv_that_quotes_everything(tmp_path: Path) -> None:
    content = '"id"\t"context"\t"question"\n"1"\t"한빛"\t"언제?"\n'
    assert unlabelled(tmp_path / "a.tsv", content) == [("1", "한빛", "언제?")]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        # One stray quote, and another one two lines on: three questions would be one.
        (
            "a.csv",
            'id,context,question\n1,"한빛,언제?\n2,우물,몇?\n4,우물",몇?\n5,우물,몇?\n',
            'line 2: the " that opens a cell here closes in line 4',
        ),
        (
            "a.csv",
            'id;context;question\n1;"한빛;언제?\n4;우물";몇?\n',
            'line 2: the " that opens a cell here closes in line 3',
        ),
        (
            "a.csv",
            'id,context,question,answer,start\n0,"가, 나",?,나,3\n1,"한,?,한,0\n2,우",?,우,0\n',
            'line 3: the " that opens a cell here closes in line 4',
        ),
        # The file quotes, so that tabs and line ends in one cell are a quote that was not doubled.
        (
            "a.tsv",
            tsv() + '0\t"""가"""\t?\n1\t"한빛\t?\n2\t우물"\t?\n',
            'line 3: the " that opens a cell here closes in line 4',
        ),
        (
            "a.csv",
            'id,context,question\n1,"한빛,언제?\n2,우물,몇?\n',
            'line 2 is not CSV (the " that ope',
        ),
        (
            "a.csv",
            'id,context,question\n1,가,?\n2,"한빛" 마을,?\n',
            'line 3 is not CSV (a cell in " goes',
        ),
        (
            "a.csv",
            'id,context,question\n\n1,"가\n나" 다,?\n',
            'line 3 is not CSV (a cell in " goes',
        ),
        ("a.tsv", tsv() + '1\t"한빛" 마을\t?\n2\t우물\n', "line 3 has 2 cells, the header 3"),
        ("a.csv", "sep=;\nid;context;question\n1;가\n", "line 3 has 2 cells, the header 3"),
    ],
)
def test_no_row_is_swallowed(name: str, content: str, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(UserError) as caught:
        read(path, labelled="answer" in content)
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(caught.value)


def test_paragraphs_in_quoted_cells(tmp_path: Path) -> None:
    """Prose with commas, quotes and line ends, whose lines have as many commas as rows have."""
    contexts = [
        "가, 나\n다, 라",
        "가, 나, 다\n\n라, 마",
        '그가 "가, 나",\n라고, 했다',
    ]
    rows = [(str(i), context, f"무엇, {i}?") for i, context in enumerate(contexts)]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([COLUMNS, *rows])
    assert unlabelled(tmp_path / "a.csv", text.getvalue()) == rows


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line", ["sep={}", '"sep={}"', "SEP={}"])
def test_a_line_that_names_the_delimiter(
    line: str, delimiter: str, end: str, tmp_path: Path
) -> None:
    rows = [COLUMNS, ("1", '가,;"', "?")]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(rows)
    content = line.format(delimiter) + end + text.getvalue()
    assert unlabelled(tmp_path / "a.csv", content) == rows[1:]


def test_rows_and_ends_of_empty_cells(tmp_path: Path) -> None:
    """As Excel writes them, wherever they stand, and a column that only numbers the rows."""
    content = "id,context,question,,\n,,,,\n1,가,?,,\n , ,,,\n2,나,?,,\n,,,,\n\n"
    assert unlabelled(tmp_path / "a.csv", content) == [("1", "가", "?"), ("2", "나", "?")]
    content = "id,context,question\n1,가,?,,\n2,나,?\n,,,,\n"
    assert unlabelled(tmp_path / "b.csv", content) == [("1", "가", "?"), ("2", "나", "?")]
    content = ",id,context,question\n0,1,가,?\n1,2,나,?\n"
    assert unlabelled(tmp_path / "c.csv", content) == [("1", "가", "?"), ("2", "나", "?")]


cells = st.text(st.sampled_from('가나"",;\t\n\r \'|'), min_size=1, max_size=7)
contexts = cells.filter(lambda text: text.strip() != "")
tables = st.lists(st.tuples(contexts, contexts.map(str.strip)), min_size=1, max_size=4)


@pytest.mark.parametrize("dialect", ["excel", "excel-tab", "unix", "semicolon"])
@given(table=tables)
@fuzz
def test_what_csv_writers_write(dialect: str, table: list[tuple[str, str]], tmp_path: Path) -> None:
    """Read as it was, or refused: but never other rows. Only tabs with line ends may be refused."""
    rows = [(str(i), context, question) for i, (context, question) in enumerate(table)]
    text = io.StringIO(newline="")
    options: Any = {"delimiter": ";"} if dialect == "semicolon" else {"dialect": dialect}
    csv.writer(text, **options).writerows([COLUMNS, *rows])
    is_tab = dialect == "excel-tab"
    both = [c for row in rows for c in row if "\t" in c and ("\n" in c or "\r" in c)]
    if is_tab and both:
        return  # without "" it could be unquoted rows as well, and is read as those
    try:
        assert unlabelled(tmp_path / "a.csv", text.getvalue()) == rows
    except UserError as error:
        message = str(error)
    else:
        return
    assert 'the " that opens a cell here closes in line' in message
    assert any("\n" in cell or "\r" in cell for row in rows for cell in row)


plain_cells = st.text(st.sampled_from('가나"",; \''), min_size=1, max_size=6)
plain_contexts = plain_cells.filter(
    lambda text: text.strip() != "" and not (QUOTED.fullmatch(text) and '""' in text[1:-1])
)


@given(table=st.lists(st.tuples(plain_contexts, plain_contexts.map(str.strip)), min_size=1))
@fuzz
def test_what_is_written_without_quoting(table: list[tuple[str, str]], tmp_path: Path) -> None:
    """A cell that is itself a quoted cell with doubled quotes is the one thing that is not."""
    rows = [(str(i), context, question) for i, (context, question) in enumerate(table)]
    assert unlabelled(tmp_path / "a.tsv", tsv(*rows)) == rows


@given(
    table=st.lists(st.tuples(plain_contexts, plain_contexts.map(str.strip)), min_size=2, max_size=6)
)
@fuzz
def test_a_row_that_is_ragged_does_not_bring_quoting_back(
    table: list[tuple[str, str]], tmp_path: Path
) -> None:
    rows = [(str(i), context, question) for i, (context, question) in enumerate(table)]
    content = tsv(*rows[:-1], rows[-1][:2])
    with pytest.raises(UserError):
        unlabelled(tmp_path / "a.tsv", content)


ROWS: list[tuple[str, ...]] = [("1", "강나루, 시인", "누구?"), ("2", '강 "나루"', "왜?")]


def quoted(rows: Sequence[tuple[str, ...]], delimiter: str = ",") -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([COLUMNS, *rows])
    return stream.getvalue()


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_files_that_were_put_together(delimiter: str, mark: str, tmp_path: Path) -> None:
    """The second header would be a question with the id "id"."""
    text = quoted(ROWS[:1], delimiter)
    more = mark + ",".join(COLUMNS).replace(",", delimiter) + "\n" + f"3{delimiter}다{delimiter}?\n"
    assert unlabelled(tmp_path / "a.csv", text + more) == [ROWS[0], ("3", "다", "?")]


def test_a_blank_behind_each_delimiter(tmp_path: Path) -> None:
    """Quotes quote behind it, too, and rows are not swallowed."""
    text = quoted(ROWS).replace('","', '", "')
    assert unlabelled(tmp_path / "a.csv", text) == ROWS
    plain = "id, context, question\n1, 강나루, 누구?\n2, 나, 왜?\n"
    expected = [("1", "강나루", "누구?"), ("2", "나", "왜?")]
    assert unlabelled(tmp_path / "b.csv", plain) == expected
    kept = "id,context,question\n1, 강나루,누구?\n"
    assert unlabelled(tmp_path / "c.csv", kept) == [("1", " 강나루", "누구?")]
    stray = plain.replace("강나루", '"강나루').replace("나, 왜", '나", 왜')
    with pytest.raises(UserError, match='line 2: the " that opens a cell here closes in line 3'):
        unlabelled(tmp_path / "d.csv", stray)


def test_the_line_with_sep_as_excel_pads_it(tmp_path: Path) -> None:
    assert unlabelled(tmp_path / "a.csv", "sep=;;;\n" + quoted(ROWS, ";")) == ROWS


def test_paragraphs_that_begin_and_end_like_rows(tmp_path: Path) -> None:
    """A line between them that is none tells that nothing was swallowed."""
    context = "인구는 1,234,567명이다.\n둘째 문단은 다른 이야기를 한다.\n\n강나루는 1921년에 났다."
    text = io.StringIO(newline="")
    rows = [("context", "question", "id"), (context, "언제 났나?", "7")]
    csv.writer(text).writerows(rows)
    assert unlabelled(tmp_path / "a.csv", text.getvalue()) == [("7", context, "언제 났나?")]
