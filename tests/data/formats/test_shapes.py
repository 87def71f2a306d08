"""What the top of a JSON file may be, and the names of its fields: all the same questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.articles import article_examples, squad_json
from support.data_files import csv_bytes, flat_rows, zip_bytes
from support.reading import ANSWERED, CONTEXT, QUESTION, read, write

from qa.data.formats import read_examples
from qa.data.formats.names import FIELDS
from qa.engine.errors import Notice, UserError

ROWS = flat_rows()
ARTICLES = squad_json()["data"]
ANSWER = {"text": "1921년", "answer_start": 5}


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {key: [row[key] for row in rows] for key in rows[0]}


def without_answer(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in row if not key.startswith("answer")}


def columns_of_answers(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Texts and starts apart, a list for each question."""
    return {
        key: [[row[name]] for row in rows]
        for key, name in (("text", "answer"), ("answer_start", "answer_start"))
    }


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(map(json.dumps, ROWS)),
        "\n\n".join(map(json.dumps, ROWS)) + "\n",
        "\n".join(map(json.dumps, ARTICLES)),
        json.dumps(ARTICLES, indent=1),
        columns(ROWS),
        {**columns(ROWS), "version": "1"},
        {"data": columns(ROWS)},
        {**columns([without_answer(row) for row in ROWS]), "answers": columns_of_answers(ROWS)},
        {key: dict(zip("abcdefghijkl", v, strict=True)) for key, v in columns(ROWS).items()},
        {str(number): row for number, row in enumerate(ROWS)},
        {"columns": list(ROWS[0]), "index": [0], "data": [list(row.values()) for row in ROWS]},
        {"schema": {"fields": []}, "data": ROWS},
        {"train": ROWS},
        {"examples": ROWS, "version": "1", "tags": ["a"], "none": []},
        {"Data": ARTICLES},
        "\n".join(map(json.dumps, ({"data": ARTICLES[:1]}, {"data": ARTICLES[1:]}))),
        "\n".join(map(json.dumps, (ROWS[:3], ROWS[3:]))),
        "\n\ufeff".join(map(json.dumps, ROWS)),
    ],
)
def test_shapes(content: Any, tmp_path: Path) -> None:
    for name in ("a.json", "a.jsonl"):
        assert read(write(tmp_path / name, content)) == (article_examples(), [])


def test_questions_by_their_ids(tmp_path: Path) -> None:
    content = {row["id"]: {key: row[key] for key in row if key != "id"} for row in ROWS}
    assert read(write(tmp_path / "a.json", content)) == (article_examples(), [])


@pytest.mark.parametrize("prefixes", [("dev_",), ("train-", "test-", "q"), ("검증", "val.")])
def test_ids_that_look_like_names_of_splits(prefixes: tuple[str, ...], tmp_path: Path) -> None:
    named = {f"{prefixes[i % len(prefixes)]}{i}": row for i, row in enumerate(ROWS)}
    content = {name: {key: row[key] for key in row if key != "id"} for name, row in named.items()}
    examples, notes = read(write(tmp_path / "a.json", content))
    assert [each.id for each in examples] == list(named)
    assert notes == []


def test_parts_of_one_question_each(tmp_path: Path) -> None:
    parts = {"train": {**QUESTION, "answers": [ANSWER]}, "validation": {**QUESTION, "answers": ""}}
    path = write(tmp_path / "a.json", parts)
    assert [each.answers for each in read(path)[0]] == [("1921년",)]
    with pytest.warns(Notice, match="the split validation"):
        assert [each.answers for each in read_examples(f"{path}:validation")] == [()]


@pytest.mark.parametrize("test", [{}, {"note": "hidden", "rows": 3}])
def test_a_part_that_is_described_only_is_none(test: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", {"train": ROWS, "test": test})
    assert read(path, split="validation")[0] == article_examples()


def test_an_object_beside_columns_is_every_row_s(tmp_path: Path) -> None:
    content = {**columns(ROWS), "meta": {"tags": ["a", "b"]}}
    assert read(write(tmp_path / "a.json", content)) == (article_examples(), [])


@pytest.mark.parametrize("answers", [{"text": ["1921년"]}, {"text": [["1921년"]], "start": [[5]]}])
def test_a_column_of_another_length_is_refused(answers: Any, tmp_path: Path) -> None:
    """It would give every question the answers of all."""
    content = {"question": ["?", "!"], "context": [CONTEXT, CONTEXT], "answers": answers}
    with pytest.raises(UserError, match="has 1 values, but there are 2 questions"):
        read(write(tmp_path / "a.json", content))


NO_FIELD = "questions have no field of a known name with answers"


@pytest.mark.parametrize(
    ("row", "note"),
    [
        ({"gold": "1921년"}, NO_FIELD),
        ({"답": "1921년"}, NO_FIELD),
        ({"gold": "1921년", "answer_start": 5}, NO_FIELD),
        ({"gold": "1921년", "end": 10}, NO_FIELD),
        ({"is_impossible": False}, NO_FIELD),
        ({}, NO_FIELD),
        ({"answers": None}, None),
        ({"answers": [None]}, "questions have empty answers only"),
        ({"answers": ""}, "questions have empty answers only"),
        ({"answers": []}, None),
        ({"answers": {"text": [], "answer_start": []}}, None),
        ({"is_impossible": True}, None),
        ({"is_impossible": True, "answers": None}, None),
    ],
)
def test_questions_become_unanswerable_in_silence_only_if_the_data_says_so(
    row: dict[str, Any], note: str | None, tmp_path: Path
) -> None:
    rows = [{**QUESTION, "id": str(n), **row} for n in (1, 2)]
    rows.append({**QUESTION, "id": "3", "answers": [ANSWER]})
    for name in ("a.json", "a.jsonl"):
        lines = rows if name == "a.json" else "\n".join(map(json.dumps, rows))
        examples, notes = read(write(tmp_path / name, lines))
        assert [each.answers for each in examples] == [(), (), ("1921년",)]
        expected = [] if note is None else [(f"2 {note}", "(1, 2)")]
        assert [(each[: len(f"2 {note}")], each[-6:]) for each in notes] == expected


@pytest.mark.parametrize(
    "content",
    [
        {**QUESTION, "answers": [ANSWER]},
        {"data": {**QUESTION, "answers": [ANSWER]}},
        {"context": CONTEXT, "qas": [{**QUESTION, "answers": [ANSWER]}]},
        {"context": CONTEXT, "qas": {**QUESTION, "answer": "1921년", "offset_start_in_doc": 5}},
        {"paragraphs": [{"passage": CONTEXT, "qas": [{**QUESTION, "answer": ANSWER}]}]},
        {"paragraphs": {"context": CONTEXT, "qas": [{**QUESTION, "answer": ANSWER}]}},
    ],
)
def test_one_entry_as_the_top(content: Any, tmp_path: Path) -> None:
    for name in ("a.json", "a.jsonl"):
        assert read(write(tmp_path / name, content)) == ([ANSWERED], [])


@pytest.mark.parametrize(
    ("train", "validation"),
    [("train", "validation"), ("Train", "dev"), ("train_set", "devset"), ("학습", "검증")],
)
def test_parts(train: str, validation: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", {train: ROWS[:8], validation: ROWS[8:], "version": "1"})
    examples, notices = read(path)
    line = "1 of 2 parts are read, the split {} ({}), and these are not: {}"
    assert (examples, notices) == (
        article_examples()[:8],
        [line.format("train", train, validation)],
    )
    examples, notices = read(path, split="validation")
    assert (examples, notices) == (
        article_examples()[8:],
        [line.format("validation", validation, train)],
    )


@pytest.mark.parametrize("part", [ROWS[:8], {"version": "1", "data": ARTICLES[:2]}])
@pytest.mark.parametrize("others", [{"extra": ROWS[8:]}, {"data": ROWS[8:], "test": []}])
def test_no_part_is_left_in_silence(part: Any, others: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", {"meta": {"license": "x"}, "train": part, **others})
    examples, notices = read(path)
    count = 8 if isinstance(part, list) else 4
    assert examples == article_examples()[:count]
    assert notices == [
        f"1 of {len(others) + 1} parts are read, the split train (train), and these are not:"
        f" {', '.join(others)}"
    ]


def test_data_beside_tests_is_training_data(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", {"version": "1", "data": ROWS[:8], "test": ROWS[8:]})
    assert read(path) == (
        article_examples()[:8],
        ["1 of 2 parts are read, the split train (data), and these are not: test"],
    )
    assert read(path, split="test")[0] == article_examples()[8:]


def test_the_only_part_stands_in_for_any(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", {"test": {"version": "1", "data": ARTICLES}})
    expected = ["has no split train; test is read in its place"]
    assert read(path) == (article_examples(), expected)


def test_a_question_with_the_name_of_a_split_in_it(tmp_path: Path) -> None:
    row = {**QUESTION, "answers": [ANSWER], "test": ["a"], "dev": {"a": []}}
    assert read(write(tmp_path / "a.json", row)) == ([ANSWERED], [])
    assert read(write(tmp_path / "b.json", columns([row]))) == ([ANSWERED], [])


def test_validation_comes_before_test(tmp_path: Path) -> None:
    content = {"test": ROWS[:2], "valid": ROWS[2:4], "train": ROWS[4:]}
    path = write(tmp_path / "a.json", content)
    assert read(path, split="validation")[0] == article_examples()[2:4]
    assert read(path, split="test")[0] == article_examples()[:2]
    del content["train"]
    path = write(tmp_path / "a.json", content)
    with pytest.raises(UserError, match="has no split train, only validation, test; .*:test reads"):
        read(path)
    with pytest.warns(Notice):
        assert read_examples(f"{path}:dev") == article_examples()[2:4]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"a": 1, "b": 2}, "a.json: is JSON of another shape (it has a, b); expected"),
        ({**columns(ROWS), "id": [1]}, "a.json: id has 1 values, but there are 12 questions"),
        ({"columns": ["a"], "data": [[1, 2]]}, "columns and the rows of data do not fit each oth"),
        ({"columns": ["a"], "data": [{}]}, "columns and the rows of data do not fit each other"),
        ({"train": [3]}, "a.json: train: entry 0 is not an object"),
        ({"train": {"a": []}}, "a.json: train: is JSON of another shape (it has a)"),
    ],
)
def test_wrong_shapes(content: Any, expected: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(write(tmp_path / "a.json", content))
    assert expected in str(caught.value)


def test_ai_hub(tmp_path: Path) -> None:
    """question_id, doc_title, one answer object, an empty one where there is none, in a zip."""
    qas = [
        {"question_id": "1", "question": "언제 태어났나?", "is_impossible": False,
         "answers": {**ANSWER, "clue_text": CONTEXT, "clue_start": 0, "options": None}},
        {"question_id": "2", "question": "왜?", "is_impossible": True,
         "answers": {"text": "", "answer_start": -1, "clue_text": None, "options": None}},
    ]  # fmt: skip
    paragraph = {"context_id": "c", "context": CONTEXT, "qas": qas}
    article = {"doc_id": "D1", "doc_title": "강나루", "paragraphs": [paragraph]}
    content = {"Dataset": {"name": "기계독해"}, "data": [article]}
    member = json.dumps(content, ensure_ascii=False).encode()
    found, notices = read(write(tmp_path / "TL_span.zip", zip_bytes({"라벨/a.json": member})))
    assert [(e.id, e.title, e.answers, e.answer_starts) for e in found] == [
        ("1", "강나루", ("1921년",), (5,)),
        ("2", "강나루", (), ()),
    ]
    assert notices == []


SPELLINGS: list[Callable[[str], str]] = [
    str,
    str.upper,
    str.title,
    lambda n: n.replace("_", " "),
    lambda n: f" {n} ",
    lambda n: n.replace("_", "-"),
    lambda n: n.title().replace("_", ""),
    lambda n: normalize("NFD", n),
    lambda n: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in n),  # full width
    lambda n: f"\u200b{n}\u00a0*",
    lambda n: f"\ufeff{n}",
]


@given(data=st.data())
@settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_name_in_every_spelling(data: st.DataObject, tmp_path: Path) -> None:
    values = {**QUESTION, "answers": "1921년", "answer_start": 5, "is_impossible": "N"}
    row = {}
    for field, value in values.items():
        name = data.draw(
            st.sampled_from([*FIELDS[field], "text"] if field == "context" else FIELDS[field])
        )
        row[data.draw(st.sampled_from(SPELLINGS))(name)] = value
    assert read(write(tmp_path / "a.json", [row])) == ([ANSWERED], [])
    assert read(write(tmp_path / "a.csv", b"\xef\xbb\xbf" + csv_bytes([row]))) == ([ANSWERED], [])


@pytest.mark.parametrize(
    ("row", "expected_id"),
    [
        ({"ID": 7, "id": 1}, "1"),
        ({"id": 1, "ID": 7}, "1"),
        ({"guid": 1, "id": None}, "1"),
        ({"guid": 7, "id": 1}, "1"),
        ({"Id": 1.0}, "1"),
        ({"guid": 1, "id": ""}, "1"),
    ],
)
def test_which_name_counts(row: dict[str, Any], expected_id: str, tmp_path: Path) -> None:
    rest = {"context": CONTEXT, "question": "언제 태어났나?", "answers": [ANSWER]}
    assert read(write(tmp_path / "a.json", [{**row, **rest}]))[0][0].id == expected_id


def test_a_class_label_beside_answers_is_no_answer(tmp_path: Path) -> None:
    rows = [
        {**QUESTION, "answers": None, "label": 1, "text": "1"},
        {**QUESTION, "id": "2", "answers": [ANSWER], "labels": [0]},
    ]
    found, notices = read(write(tmp_path / "a.json", rows))
    assert [e.answers for e in found] == [(), ("1921년",)]
    assert notices == []


@pytest.mark.parametrize("empty", [[], "", None])
def test_an_empty_name_before_one_with_a_value(empty: Any, tmp_path: Path) -> None:
    row = {**QUESTION, "answers": empty, "answer": "1921년", "answer_start": 5}
    assert read(write(tmp_path / "a.json", [row])) == ([ANSWERED], [])
