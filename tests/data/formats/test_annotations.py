"""Exports of annotation tools: Label Studio, doccano, Haystack, cdQA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.data_files import csv_bytes
from support.reading import ANSWERED, CONTEXT, QUESTION, UNANSWERED, read, write

from qa.engine.errors import UserError

TEXT = {"text": CONTEXT, "question": "언제 태어났나?"}
VALUE = {"start": 5, "end": 10, "text": "1921년", "labels": ["답"]}
RESULT = {"value": VALUE, "from_name": "a", "to_name": "t", "type": "labels"}
CHOICE = {"value": {"choices": ["쉬움"]}, "from_name": "c", "to_name": "t", "type": "choices"}


def task(*annotations: Any, **changes: Any) -> dict[str, Any]:
    return {"id": 1, "data": TEXT, "annotations": list(annotations), **changes}


@pytest.mark.parametrize(
    "content",
    [
        [task({"id": 9, "result": [RESULT, CHOICE]})],
        [task({"result": [RESULT]}, {"result": [RESULT]})],
        [
            task(
                {"result": [{"value": {"start": 0, "end": 3}}], "was_cancelled": True},
                {"result": [RESULT]},
            )
        ],
        [{"id": 1, "data": TEXT, "completions": [{"result": [RESULT]}]}],
        [task({"result": [RESULT]}, id=7, data={**TEXT, "id": 1})],
        task({"result": [RESULT]}),
        [{"id": 1, **TEXT, "answer": [VALUE], "annotator": 1}],
        [{"id": 1, **TEXT, "label": [VALUE], "lead_time": 1.5}],
        [{"id": 1, **TEXT, "label": [[5, 10, "ANSWER"]]}],
        [{"id": 1, **TEXT, "labels": [[5, 10, "ANSWER"]]}],
        [
            {
                "id": 1,
                **TEXT,
                "entities": [{"id": 3, "label": "A", "start_offset": 5, "end_offset": 10}],
            }
        ],
        [{"id": 1, **TEXT, "annotations": [{"label": 2, "start_offset": 5, "end_offset": 10}]}],
        {
            "data": [
                {
                    "paragraphs": [
                        {
                            "context": CONTEXT,
                            "qas": {
                                "id": "1",
                                "question": "언제 태어났나?",
                                "answer": "1921년",
                                "offset_start_in_doc": 5,
                            },
                        }
                    ]
                }
            ]
        },
    ],
)
def test_exports(content: Any, tmp_path: Path) -> None:
    for name in ("a.json", "a.jsonl"):
        assert read(write(tmp_path / name, content)) == ([ANSWERED], [])
    unlabelled, notices = read(str(tmp_path / "a.json"), labelled=False)
    assert (unlabelled, notices) == ([UNANSWERED], [])


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_tables_of_label_studio(delimiter: str, tmp_path: Path) -> None:
    row = {"ID": 7, **TEXT, "id": 1, "label": json.dumps([VALUE], ensure_ascii=False)}
    for name in ("a.csv", "a.tsv"):
        assert read(write(tmp_path / name, csv_bytes([row], delimiter))) == ([ANSWERED], [])


def test_several_spans_and_none(tmp_path: Path) -> None:
    spans = [[5, 10, "A"], [0, 3, "A"]]
    rows = [{"id": 1, **TEXT, "label": spans}, {"id": 2, **TEXT, "label": []}]
    found, notices = read(write(tmp_path / "a.jsonl", rows))
    assert [(e.answers, e.answer_starts) for e in found] == [
        (("1921년", "강나루"), (5, 0)),
        ((), ()),
    ]
    assert notices == [
        "1 questions have no marked answer, so they count as questions without an answer (2)"
    ]


def test_tasks_that_nobody_did(tmp_path: Path) -> None:
    cancelled = task({"result": [RESULT], "was_cancelled": True}, id=2)
    path = write(tmp_path / "a.json", [task(), cancelled, task({"result": []}, id=3)])
    found, notices = read(path)
    assert [e.answers for e in found] == [(), (), ()]
    assert notices == [
        "2 tasks have no annotation, so they count as questions without an answer (1, 2)",
        "1 questions have no marked answer, so they count as questions without an answer (3)",
    ]


def test_what_is_written_or_chosen_is_no_span(tmp_path: Path) -> None:
    """A text that an annotator wrote would otherwise be lost without a word."""
    written = {"type": "textarea", "from_name": "answer", "value": {"text": ["1921년"]}}
    chosen = {"type": "choices", "from_name": "kind", "value": {"choices": ["없음"]}}
    tasks = [task({"result": [written]}), task({"result": [chosen]}, id=2)]
    tasks[0]["data"] = {**TEXT, "answer": "강나루"}  # what was there before the annotators
    found, notices = read(write(tmp_path / "a.json", tasks))
    assert [e.answers for e in found] == [(), ()]
    assert notices == [
        "2 questions have no marked answer, so they count as questions without an answer (1, 2)"
    ]


def test_haystack_csv(tmp_path: Path) -> None:
    """Its text is the answer, and it has no id of the question."""
    row = {"document_id": 3, "context": CONTEXT, "question": "언제 태어났나?", "text": "1921년"}
    content = csv_bytes([{**row, "answer_start": 5, "answer_end": 10}])
    (found,), notices = read(write(tmp_path / "a.csv", content))
    assert (found.answers, found.answer_starts) == (("1921년",), (5,))
    assert [line[:23] for line in notices] == ["1 questions have no id;"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([task(3)], "entry 0: annotations must be objects with a list of results"),
        ([task({"result": [3]})], "entry 0: annotations must be objects with a list of results"),
        (
            [task({"result": [{"value": {"start": 9, "end": 99}}]})],
            "an answer must lie in the conte",
        ),
        ([task({"result": [{"value": {"start": "a"}}]})], "entry 0: answer_start must be a whole"),
        ([{**QUESTION, "entities": [{"start_offset": 1}]}], "an answer needs text, or the charact"),
        ([{**QUESTION, "label": {"a": 1}}], "label must be a list of spans with start and end"),
        ([{"id": 1, "data": {"text": CONTEXT}, "annotations": []}], "question must be a string"),
    ],
)
def test_wrong_exports(content: Any, expected: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(write(tmp_path / "a.json", content))
    assert expected in str(caught.value)
