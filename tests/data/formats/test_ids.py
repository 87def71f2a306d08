"""Ids that are made, and rows that are one question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.data_files import csv_bytes, parquet_bytes
from support.reading import ANSWERED, CONTEXT, QUESTION, read, write

import qa.cli.doctor
import qa.cli.score
from qa.data.doctor.mend import mend_examples
from qa.data.examples import Example
from qa.engine.errors import UserError

ANSWER = {"answer": "1921년", "answer_start": 5}
PAIR = {"context": CONTEXT, "question": "언제 태어났나?"}


def test_made_ids_are_the_same_wherever_the_question_is(tmp_path: Path) -> None:
    """So that predictions of `qa predict` are found by `qa evaluate`, also from another format."""
    other = {**PAIR, "question": "어디서 태어났나?"}
    rows = [{**PAIR, **ANSWER}, {**other, **ANSWER}]
    contents = {
        "a.json": rows,
        "b.json": [
            {"context": CONTEXT, "qas": [{**r, "question": f" {r['question']}\n"} for r in rows]}
        ],
        "a.jsonl": rows[::-1],
        "a.csv": csv_bytes([{"id": "", **r} for r in rows]),
        "nfd.json": normalize("NFD", json.dumps(rows, ensure_ascii=False)),
        "a.parquet": parquet_bytes([{"id": None, **r} for r in rows]),
        "blank.json": [{"id": " ", **r} for r in rows],
    }
    found = set()
    for name, content in contents.items():
        path = write(tmp_path / name, content)
        for options in ({}, {"labelled": False}, {"nfc": True}):
            if name == "nfd.json" and options == {}:
                continue  # its answers are not at their place
            examples, notices = read(path, **options)
            found.add(frozenset((normalize("NFC", e.question), e.id) for e in examples))
            ids = ", ".join(e.id for e in examples)
            assert notices == [
                "2 questions have no id; each got one that is made from its question and context"
                f" ({ids})"
            ]
    (ids_of_all,) = found
    assert len({example_id for _, example_id in ids_of_all}) == 2


def test_predictions_and_scores_meet(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [{**PAIR, **ANSWER}])
    (example,), _ = read(path, labelled=False)
    write(tmp_path / "p.json", {example.id: "1921년"})
    flags = ["--data", path, "--output-dir", str(tmp_path / "scores")]
    assert qa.cli.score.main([str(tmp_path / "p.json"), *flags]) == 0
    scores = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert scores["korquad1"]["exact_match"] == 100


def test_a_row_for_each_gold_answer(tmp_path: Path) -> None:
    rows = [
        {**QUESTION, **ANSWER},
        {**QUESTION, "id": "2", "answers": []},
        {**QUESTION, "answer": "1921", "answer_start": 5},
        {**QUESTION, **ANSWER},
    ]
    path = write(tmp_path / "a.json", rows)
    expected = [
        Example("1", "언제 태어났나?", CONTEXT, ("1921년", "1921"), (5, 5)),
        Example("2", "언제 태어났나?", CONTEXT),
    ]
    lines = [
        "2 rows repeat the id, question and context of another row; they became one question with"
        " the answers of all (1, 1)"
    ]
    assert read(path) == read(path, checked=False) == (expected, lines)
    assert [e.id for e in read(path, labelled=False)[0]] == ["1", "2"]


def test_the_texts_that_mrqa_scores_are_joined_too(tmp_path: Path) -> None:
    rows = [
        {**QUESTION, "answers": ["스물하나"], "detected_answers": [{"char_spans": [[5, 9]]}]},
        {**QUESTION, "answers": ["1921"], "detected_answers": [{"char_spans": [[5, 8]]}]},
    ]
    (found,), _ = read(write(tmp_path / "a.json", rows))
    assert (found.answers, found.gold_answers) == (("1921년", "1921"), ("스물하나", "1921"))


def test_another_question_with_the_same_id_stays_an_error(tmp_path: Path) -> None:
    rows = [{**QUESTION, **ANSWER}, {**QUESTION, **ANSWER, "question": "왜?"}]
    rows += [{**rows[1], "answer": "1921"}]
    path = write(tmp_path / "a.json", rows)
    with pytest.raises(UserError, match=r": 1 questions repeat an id .* \(1\)"):
        read(path)
    examples, _ = read(path, checked=False)
    assert [(e.id, e.answers) for e in mend_examples(examples).examples] == [
        ("1", ("1921년",)),
        ("1-2", ("1921년", "1921")),
    ]


def test_rows_alike_without_an_id(tmp_path: Path) -> None:
    """Labelled they are one question; to be answered they are as many as the file has."""
    path = write(tmp_path / "a.json", [{**PAIR, **ANSWER}] * 3)
    (labelled,), notices = read(path)
    assert labelled == Example(labelled.id, ANSWERED.question, CONTEXT, ("1921년",), (5,))
    assert [line[:40] for line in notices] == [
        "3 questions have no id; each got one tha",
        "2 rows repeat the id, question and conte",
    ]
    examples, notices = read(path, labelled=False)
    made = labelled.id
    assert [e.id for e in examples] == [made, f"{made}-2", f"{made}-3"]
    assert notices[1] == (
        "2 questions have no id and stand in the data before; their made ids got a number"
        f" ({made}, {made})"
    )


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["나", "루"]), st.sampled_from("xyz")),
        min_size=1,
        max_size=9,
    )
)
@settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_answer_of_any_row_is_lost(rows: list[tuple[str, str, str]], tmp_path: Path) -> None:
    context = "나루"
    content: list[dict[str, Any]] = [
        {"id": i, "question": question, "context": context, "answers": [answer]}
        for i, answer, question in rows
    ]
    found, _ = read(write(tmp_path / "a.json", content), checked=False)
    assert len(found) == len({(i, question) for i, _, question in rows})
    assert {(e.id, a, e.question) for e in found for a in e.answers} == set(rows)


def test_every_way_of_reading_says_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One file with something of every kind, read by the API, by `qa score` and by the doctor."""
    answer = {"text": "1921년", "answer_start": 5}
    rows = [
        {**PAIR, "answers": [answer]},
        {**PAIR, "id": "1", "answers": ["1921년"]},
        {**PAIR, "id": "1", "answers": [{"text": "강나루", "answer_start": 0}]},
        {**PAIR, "id": "2", "answers": [{"text": "", "answer_start": -1}]},
        {**PAIR, "id": "3", "answers": [{"text": "", "answer_start": 0}, answer]},
        {**PAIR, "id": "4", "answers": [{"text": 1921, "answer_start": 5}]},
        {**PAIR, "id": "5", "context": [CONTEXT, "끝."], "answers": [answer]},
        {"id": "6", "data": PAIR, "annotations": []},
    ]
    path = write(tmp_path / "a.json", {"train": rows, "validation": []})
    examples, notices = read(path)
    assert read(path, checked=False) == (examples, notices)
    made = examples[0].id
    assert notices == [
        "1 of 2 parts are read, the split train (train), and these are not: validation",
        f"1 questions have no id; each got one that is made from its question and context ({made})",
        "1 answers have no answer_start; each was placed where its text stands, which is once in"
        " its context (1)",
        "1 rows repeat the id, question and context of another row; they became one question with"
        " the answers of all (1)",
        "1 questions have empty answers only, so they count as questions without an answer (2)",
        "1 empty answers beside others were left out (3)",
        "1 answers are numbers; they were read as their digits (4)",
        "1 contexts are lists of sentences; they were joined by blanks (5)",
        "1 tasks have no annotation, so they count as questions without an answer (6)",
    ]
    assert [(e.id, e.answers) for e in examples] == [
        (made, ("1921년",)),
        ("1", ("1921년", "강나루")),
        ("2", ()),
        ("3", ("1921년",)),
        ("4", ("1921",)),
        ("5", ("1921년",)),
        ("6", ()),
    ]
    assert qa.cli.doctor.main([path]) == 0
    assert capsys.readouterr().err.splitlines() == [f"note: {path}: {line}" for line in notices]
    path = write(tmp_path / "b.json", rows)
    write(tmp_path / "p.json", {e.id: "1921년" for e in examples})
    flags = ["--data", path, "--output-dir", str(tmp_path / "scores")]
    assert qa.cli.score.main([str(tmp_path / "p.json"), *flags]) == 0
    printed = capsys.readouterr().err.splitlines()
    assert [line for line in printed if path in line] == [
        f"note: {path}: {line}" for line in notices[1:]
    ]
