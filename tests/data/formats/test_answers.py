"""Answers in every form that files have: right texts and places, or one line that says why not."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data_files import csv_bytes, parquet_bytes
from support.reading import ANSWERED, CONTEXT, QUESTION, UNANSWERED, read, write

from qa.data.examples import Example
from qa.data.formats.literals import read_literal
from qa.engine.errors import UserError

TWO = Example("1", "언제 태어났나?", CONTEXT, ("1921년", "강나루"), (5, 0))


def row(**changes: Any) -> dict[str, Any]:
    return {**QUESTION, **changes}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"answers": [{"text": "1921년", "answer_start": "5"}]}, ANSWERED),
        ({"answers": [{"text": "1921년", "answer_start": 5.0}]}, ANSWERED),
        ({"answers": [{"text": "1921년", "answer_start": " 5.0 "}]}, ANSWERED),
        ({"answers": {"text": ["1921년"], "answer_start": [5.0]}}, ANSWERED),
        ({"answers": {"text": "1921년", "answer_start": 5, "clue_text": "강"}}, ANSWERED),
        ({"answers": {"text": ["1921년"], "answer_start": 5}}, ANSWERED),
        ({"answers": {"Text": ["1921년"], "Answer_Start": [5]}}, ANSWERED),
        ({"answers": ["1921년"], "answer_start": 5}, ANSWERED),
        ({"answers": ["1921년", "강나루"], "answer_start": [5, 0]}, TWO),
        ({"answer": "1921년", "answer_start": 5, "answer_end": 10}, ANSWERED),
        ({"answers": [{"text": "1921년", "start": 5, "end": 10}]}, ANSWERED),
        ({"answers": [{"start": 5, "end": 10}]}, ANSWERED),
        ({"answers": [[5, 10, "답"], [0, 3, "답"]]}, TWO),
        ({"start": 5, "end": 10}, ANSWERED),
        ({"answer": "1921년", "start_offset": 5}, ANSWERED),
        ({"answer": None, "answer_start": float("nan")}, UNANSWERED),
        ({"answer": float("nan"), "answer_start": None}, UNANSWERED),
        ({"answers": "['1921년']", "answer_start": "[5]"}, ANSWERED),
        ({"answers": '{"text": ["1921년"], "answer_start": [5]}'}, ANSWERED),
        (
            {"answers": "{'text': array(['1921년'], dtype=object), 'answer_start': array([5])}"},
            ANSWERED,
        ),
        ({"answers": "{'text': [], 'answer_start': []}"}, UNANSWERED),
    ],
)
def test_forms(changes: dict[str, Any], expected: Example, tmp_path: Path) -> None:
    for name in ("a.json", "a.jsonl"):
        assert read(write(tmp_path / name, [row(**changes)])) == ([expected], [])


@pytest.mark.parametrize("start", [5, 5.0, "5", "5.0", "5.00", " 5"])
def test_numbers_are_read_alike_in_every_format(start: Any, tmp_path: Path) -> None:
    """So pandas writes 5.0, NaN or null where another row of the column is empty."""
    rows = [row(answer="1921년", answer_start=start), row(id="2", answer=None, answer_start=None)]
    expected = [ANSWERED, Example("2", "언제 태어났나?", CONTEXT)]
    for name, content in {
        "a.json": rows,
        "nan.json": [rows[0], {**rows[1], "answer_start": float("nan")}],
        "a.jsonl": rows,
        "a.csv": csv_bytes(rows),
        "a.parquet": parquet_bytes(rows),
    }.items():
        assert read(write(tmp_path / name, content)) == (expected, [])


def test_thousands(tmp_path: Path) -> None:
    context = "강" * 1005 + "나루"
    content = f'id,context,question,answer,answer_start\n1,{context},?,나루,"1,005"\n'
    assert read(write(tmp_path / "a.csv", content))[0][0].answer_starts == (1005,)


@pytest.mark.parametrize(
    "start", ["5.5", "1e3", "five", "1,00", "-", "0x5", "٥", "5 6", [5, 6], {"a": 1}, True]
)
def test_what_is_no_number(start: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [row(answer="1921년", answer_start=start)])
    with pytest.raises(UserError, match=r"entry 0(: answers)?(: answer_start must be a| has 1 te)"):
        read(path)


@pytest.mark.parametrize("empty", ["", " \n", None, float("nan")])
@pytest.mark.parametrize("start", [-1, 0, None, ""])
def test_only_empty_answers_are_no_answer(empty: Any, start: Any, tmp_path: Path) -> None:
    answer = {"text": empty, "answer_start": start, "answer_category": "NOT_GIVEN"}
    path = write(tmp_path / "a.json", [row(answers=[answer, answer], is_impossible=False)])
    line = "1 questions have empty answers only, so they count as questions without an answer (1)"
    assert read(path) == read(path, checked=False) == ([UNANSWERED], [line])


def test_empty_answers_beside_others(tmp_path: Path) -> None:
    answers = {"text": ["", "1921년", " "], "answer_start": [0, 5, 3]}
    path = write(tmp_path / "a.json", [row(answers=answers)])
    assert read(path) == ([ANSWERED], ["2 empty answers beside others were left out (1, 1)"])


@pytest.mark.parametrize("changes", [{"answers": ["1921년"]}, {"answer": "1921년"}])
def test_an_answer_without_a_place_goes_where_its_text_stands(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    line = (
        "1 answers have no answer_start; each was placed where its text stands, which is once in"
        " its context (1)"
    )
    path = write(tmp_path / "a.json", [row(**changes)])
    assert read(path) == read(path, checked=False) == ([ANSWERED], [line])
    content = csv_bytes([row(answer="1921년")])
    assert read(write(tmp_path / "a.csv", content)) == ([ANSWERED], [line])


def test_an_answer_without_a_certain_place_is_refused(tmp_path: Path) -> None:
    twice = {"context": "나루와 강나루", "question": "?", "answers": ["나루"]}
    rows = [{**twice, "id": str(i)} for i in range(4)]
    path = write(tmp_path / "a.json", [*rows, row(id="x", answers=["없다"])])
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value).startswith(
        f"{path}: 5 answers need an answer_start: the text of 4 stands several times in its context"
        " (0, 1, 2, ...), the text of 1 stands nowhere in its context (x); add the character"
    )


def test_the_only_place_is_no_half_syllable(tmp_path: Path) -> None:
    """Decomposed, 솔뫼사 is the beginning of 솔뫼산; in the same form it is found."""
    from unicodedata import normalize

    context = normalize("NFD", "솔뫼산에 산다.")
    base = {"id": "1", "question": "?", "context": context}
    path = write(tmp_path / "a.json", [{**base, "answer": normalize("NFD", "솔뫼사")}])
    with pytest.raises(UserError, match="stands nowhere"):
        read(path)
    (example,), _ = read(write(tmp_path / "b.json", [{**base, "answer": "솔뫼산"}]))
    assert example.answers == (normalize("NFD", "솔뫼산"),)
    assert example.answer_starts == (0,)
    (example,), _ = read(write(tmp_path / "b.json", [{**base, "answer": "솔뫼산"}]), nfc=True)
    assert (example.context, example.answers) == ("솔뫼산에 산다.", ("솔뫼산",))


@pytest.mark.parametrize(("number", "text"), [(1921, "1921"), (1921.0, "1921"), (9.5, "9.5")])
def test_numbers_as_answers(number: Any, text: str, tmp_path: Path) -> None:
    context = "1921년에 9.5 미터"
    path = write(tmp_path / "a.json", [row(context=context, answer=number)])
    (example,), notices = read(path)
    assert (example.answers, example.answer_starts) == ((text,), (context.index(text),))
    assert notices[0] == "1 answers are numbers; they were read as their digits (1)"


def test_a_text_that_looks_like_a_list_and_stands_in_the_context(tmp_path: Path) -> None:
    context = "강나루[1]는 ['가'] 태어났다."
    for text in ("[1]", "['가']"):
        rows = [row(context=context, answer=text, answer_start=context.index(text))]
        assert read(write(tmp_path / "a.json", rows))[0][0].answers == (text,)


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        *[(v, True) for v in ("Y", "yes", "T", "TRUE", "1", "1.0", "예", "네", True, 1, 1.0)],
        *[(v, False) for v in ("N", "No", "f", "false", "0", "아니오", "아니요", "", None, 0.0)],
        (float("nan"), False),
    ],
)
def test_is_impossible(value: Any, truth: bool, tmp_path: Path) -> None:
    answered = row(is_impossible=value, answers=[{"text": "1921년", "answer_start": 5}])
    assert read(write(tmp_path / "a.json", [answered])) == ([UNANSWERED if truth else ANSWERED], [])


def test_sentences_as_context(tmp_path: Path) -> None:
    context = ["강나루는 1921년에", "태어났다."]
    answers = [{"text": "1921년", "answer_start": 5}]
    path = write(tmp_path / "a.jsonl", [row(context=context, answers=answers)])
    line = "1 contexts are lists of sentences; they were joined by blanks (1)"
    assert read(path) == ([ANSWERED], [line])


# Cells that hold lists


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
NUMBERS = st.integers(-3, 2000)


@given(texts=st.lists(TEXTS, max_size=4), data=st.data())
@settings(deadline=None, derandomize=True)
def test_what_python_numpy_and_json_print(texts: list[str], data: st.DataObject) -> None:
    starts = data.draw(st.lists(NUMBERS, min_size=len(texts), max_size=len(texts)))
    value = {"text": texts, "answer_start": starts}
    arrays = {"text": np.array(texts, dtype=object), "answer_start": np.array(starts, np.int32)}
    scalars = {"text": [np.str_(t) for t in texts], "answer_start": [np.int64(s) for s in starts]}
    with np.printoptions(threshold=1000):
        for text in (repr(value), json.dumps(value), repr(arrays), repr(scalars)):
            assert read_literal(text) == value
        if texts:  # an empty array prints as []
            assert read_literal(str(np.array(texts, dtype=object))) == texts
            assert read_literal(str(np.array(starts))) == starts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "'a'",
        "[",
        "[open('x')]",
        "{1: 2}",
        "[*x]",
        "[" * 5000,
        "{'a': f'{1}'}",
        "[b'']",
        "[0x" + "f" * 5000 + "]" + "x",
        "[1].pop",
        "[a.b.c(1)]",
        "[lambda: 1]",
        "[-'a']",
        "[\0]",
    ],
)
def test_what_is_no_literal(text: str) -> None:
    assert read_literal(text) is None


def test_to_csv_of_datasets_and_pandas(tmp_path: Path) -> None:
    """Written by the libraries themselves."""
    import datasets
    import pandas

    rows = [
        row(answers={"text": ["1921년", "강나루"], "answer_start": [5, 0]}),
        row(id="2", answers={"text": [], "answer_start": []}),
    ]
    expected = [TWO, Example("2", "언제 태어났나?", CONTEXT)]
    datasets.Dataset.from_list(rows).to_csv(str(tmp_path / "a.csv"))
    frame = pandas.read_parquet(_parquet(tmp_path / "a.parquet", rows))
    frame.to_csv(tmp_path / "b.csv")
    assert "array([" in (tmp_path / "b.csv").read_text(encoding="utf-8")
    for orient in ("columns", "records", "index", "split", "table"):
        frame.to_json(tmp_path / f"{orient}.json", orient=orient, force_ascii=False)
    frame.to_json(tmp_path / "lines.json", orient="records", lines=True)
    for path in sorted(tmp_path.iterdir()):
        assert (path.name, read(str(path))) == (path.name, (expected, []))


def _parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_bytes(parquet_bytes(rows))
    return path


@pytest.mark.parametrize("null", ["nan", "NaN", "None", "null", "<NA>", " nan ", "#N/A"])
def test_nulls_that_were_written_as_text(null: str, tmp_path: Path) -> None:
    """`astype(str)` of pandas makes them; a text in the context is one, whatever it is called."""
    for start in (null, "", "-1"):
        content = csv_bytes([row(answer=null, answer_start=start)])
        found, notices = read(write(tmp_path / "a.csv", content))
        assert found == [UNANSWERED]
        assert [line[:34] for line in notices] == ["1 questions have empty answers only"[:34]]
    english = row(context=f"It is {null.strip()}.", answer=null.strip(), answer_start=null)
    (found_one,), _ = read(write(tmp_path / "b.csv", csv_bytes([english])))
    assert found_one.answers == (null.strip(),)


@pytest.mark.parametrize(
    "cell",
    [
        "{'text': ['1921년', 'answer_start': [5]}",
        "{text: [1921년], answer_start: [5]}",
        "{'text': array(['1921년', ..., '강'], dtype=object), 'answer_start': array([5, ..., 0])}",
        "[{'text': '1921년', 'answer_st",
    ],
)
def test_a_cell_that_is_cut(cell: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 2: the answers are in a form that is not whole"):
        read(write(tmp_path / "a.csv", csv_bytes([row(answers=cell)])))


@pytest.mark.parametrize(
    "names", [("answers.text", "answers.answer_start"), ("answer.text", "answer.answer_start")]
)
def test_columns_of_flatten(names: tuple[str, str], tmp_path: Path) -> None:
    """`Dataset.flatten()` and `json_normalize` of pandas."""
    for text, start in ((["1921년"], [5]), ("1921년", 5)):
        rows = [row(**dict(zip(names, (text, start), strict=True)))]
        assert read(write(tmp_path / "a.csv", csv_bytes(rows))) == ([ANSWERED], [])
        assert read(write(tmp_path / "a.parquet", parquet_bytes(rows))) == ([ANSWERED], [])


@pytest.mark.parametrize("null", ["nan", "NaN", "<NA>"])
def test_ids_that_pandas_writes_for_none(null: str, tmp_path: Path) -> None:
    rows = [row(id=null), row(id=null, question="누구?"), row(id="none")]
    found, notices = read(write(tmp_path / "a.json", rows), labelled=False)
    assert [len(e.id) for e in found] == [12, 12, 4]
    assert [line[:23] for line in notices] == ["2 questions have no id;"]


def test_a_decimal_number(tmp_path: Path) -> None:
    content = parquet_bytes([row(answer="1921년", answer_start=Decimal(5))])
    assert read(write(tmp_path / "a.parquet", content)) == ([ANSWERED], [])
