"""Answers that need no place: texts for a reader that writes them, or to score with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

from qa.data.examples import Example
from qa.data.formats import read_examples, require_answers
from qa.engine.errors import Notice, UserError

CONTEXT = "강나루는 푸른골에서 태어나 푸른골에서 자랐다."


def read(path: Path, answers: list[Any], **fields: Any) -> Example:
    """The one question of a file, whose answers have no answer_start."""
    row = {"id": "q1", "question": "어디?", "context": CONTEXT, "answers": answers, **fields}
    path.write_text(json.dumps([row]), encoding="utf-8")
    [example] = read_examples(str(path), by_text=True)
    return example


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.json"


def test_a_text_that_stands_once_is_placed(file: Path) -> None:
    example = read(file, ["강나루"])
    assert (example.answers, example.answer_starts) == (("강나루",), (0,))
    assert example.reference_answers == ()


def test_a_text_that_stands_twice_is_placed_where_it_stands_first(file: Path) -> None:
    with pytest.warns(Notice, match="1 answers have no answer_start and stand several times"):
        example = read(file, ["푸른골"])
    assert (example.answers, example.answer_starts) == (("푸른골",), (CONTEXT.index("푸른골"),))


def test_a_text_that_stands_nowhere_is_to_be_written(file: Path) -> None:
    with pytest.warns(Notice, match="1 answers stand nowhere in their context"):
        example = read(file, ["고향"])
    assert (example.answers, example.answer_starts) == ((), ())
    assert example.gold_answers == ("고향",)
    require_answers([example], "data.json", by_text=True)
    with pytest.raises(UserError, match="no question has an answer"):
        require_answers([example], "data.json")


def test_beside_others_it_counts_for_the_score_only(file: Path) -> None:
    example = read(file, ["고향", "강나루"])
    assert (example.answers, example.answer_starts) == (("강나루",), (0,))
    assert set(example.gold_answers) == {"고향", "강나루"}


def test_texts_that_the_data_scores_with_stay(file: Path) -> None:
    example = read(file, ["고향"], reference_answers=["고향", "푸른골"])
    assert (example.answers, example.gold_answers) == ((), ("고향", "푸른골"))


def test_another_form_of_the_text_is_found(file: Path) -> None:
    example = read(file, [normalize("NFD", "푸른골")])
    assert (example.answers, example.answer_starts) == (("푸른골",), (CONTEXT.index("푸른골"),))


def test_a_wrong_place_is_still_wrong(file: Path) -> None:
    for start in (3, -1):
        with pytest.raises(UserError, match="do not stand in their context at answer_start"):
            read(file, [{"text": "강나루", "answer_start": start}])
