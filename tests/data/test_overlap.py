"""What stands in the training data and in the evaluation data: found, and said in training."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.articles import article_examples

from qa.config import config_from_flat
from qa.data.doctor.mend import to_squad
from qa.data.examples import Example
from qa.data.formats import read_training
from qa.data.overlap import Overlap, find_overlap
from qa.engine.errors import Notice
from qa.training.load import read_data

GOOD = article_examples()


@pytest.mark.parametrize(
    "changed",
    [
        replace(GOOD[0], id="other", title="", answers=(), answer_starts=()),
        replace(GOOD[0], question=normalize("NFD", GOOD[0].question)),
        replace(GOOD[0], context=normalize("NFD", GOOD[0].context)),
        replace(GOOD[0], context=f"\n {GOOD[0].context.replace(' ', chr(0xA0) * 2)}\t"),
        replace(GOOD[0], question=GOOD[0].question.replace(" ", "  ")),
    ],
)
def test_the_same_question(changed: Example) -> None:
    assert find_overlap(GOOD, [changed]) == Overlap([changed.id], [])
    assert find_overlap([changed], GOOD) == Overlap(["0-0"], ["0-1"])  # the other one about it


@pytest.mark.parametrize(
    "changed",
    [
        replace(GOOD[0], context=GOOD[0].context + "."),
        replace(GOOD[0], context=GOOD[0].context.replace(" ", "")),
        replace(GOOD[0], context=GOOD[2].question, question=GOOD[2].context),
    ],
)
def test_another_question(changed: Example) -> None:
    assert find_overlap(GOOD, [changed]) == find_overlap([changed], GOOD) == Overlap([], [])


texts = st.sampled_from(["가", "가 나", "가  나", "나", normalize("NFD", "가 나")])
examples = st.lists(st.builds(Example, id=st.uuids().map(str), question=texts, context=texts))


@given(first=examples, second=examples)
@settings(deadline=None, derandomize=True)
def test_as_by_comparing_all_with_all(first: list[Example], second: list[Example]) -> None:
    def same(a: str, b: str) -> bool:
        return normalize("NFC", a).split() == normalize("NFC", b).split()

    near = [[a for a in first if same(a.context, b.context)] for b in second]
    known = [
        any(same(a.question, b.question) for a in n) for n, b in zip(near, second, strict=True)
    ]
    found = find_overlap(first, second)
    assert found.questions == [b.id for b, k in zip(second, known, strict=True) if k]
    assert found.contexts == [
        b.id for b, n, k in zip(second, near, known, strict=True) if n and not k
    ]


def write(path: Path, examples: list[Example]) -> str:
    path.write_text(json.dumps(to_squad(examples)), encoding="utf-8")
    return str(path)


def notices(**values: object) -> list[str]:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always", Notice)
        read_data(config_from_flat({"model": "m", **values}))
    return [str(warning.message) for warning in given if warning.category is Notice]


def test_training_says_what_it_should_not_know(tmp_path: Path) -> None:
    train = write(tmp_path / "train.json", GOOD[:7])
    held = [replace(e, id=f"held-{e.id}") for e in GOOD[:5] + GOOD[7:]]
    other = write(tmp_path / "dev.json", held)
    assert notices(train_data=train, eval_data=other) == [
        "5 of 10 questions to evaluate on stand in the training data, context and all (held-0-0,"
        " held-0-1, held-1-0, ...); scores will be too good",
        "1 of 10 questions to evaluate on ask about a context of the training data (held-3-1);"
        " scores may be too good",
    ]
    assert notices(train_data=train, eval_data=write(tmp_path / "x.json", GOOD[8:])) == []
    assert notices(train_data="embedded", model="embedded") == []


def test_what_is_not_trained_or_scored_on_does_not_count(tmp_path: Path) -> None:
    train, dev = write(tmp_path / "train.json", GOOD), write(tmp_path / "dev.json", GOOD[4:])
    assert notices(train_data=train, eval_data=dev, max_train_examples=4) == []


def test_a_held_out_article_that_stands_twice_with_other_blanks(tmp_path: Path) -> None:
    """The first of two articles is held out; they are one, but for a blank."""
    twice = [GOOD[0], replace(GOOD[0], id="b", title="", context=GOOD[0].context + " ")]
    train = write(tmp_path / "train.json", twice)
    (line,) = notices(train_data=train, holdout=0.5)
    assert line.startswith("1 of 1 questions to evaluate on stand in the training data")


def test_training_sources_with_the_same_questions(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.json", GOOD[:3]), write(tmp_path / "b.json", GOOD[1:])
    with pytest.warns(Notice) as given:
        examples, _ = read_training(f"{first},{second}")
    assert len(examples) == 14
    assert [str(warning.message) for warning in given] == [
        f"{second}: 2 of 11 questions stand in a source before it, too, context and all (0-1, 1-0)"
    ]
