"""The embedded job: its text keeps its promises, and its tokenizer is the same in every process."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict

import pytest

from qa.data.examples import Example
from qa.data.quickstart.passages import attach, make_quickstart

TRAIN_A_TOKENIZER = """
from qa.data.quickstart.passages import make_quickstart
from qa.data.quickstart.tokenizer import train_tokenizer
train, _ = make_quickstart(0, 200, 20)
texts = (text for e in train for text in (e.question, e.context))
print(train_tokenizer(texts, 400).backend_tokenizer.to_str())
"""


@pytest.fixture(scope="module")
def parts() -> tuple[list[Example], list[Example]]:
    return make_quickstart(3, 300, 60)


def test_every_answer_stands_in_its_context(parts: tuple[list[Example], list[Example]]) -> None:
    for example in (*parts[0], *parts[1]):
        (answer,), (start,) = example.answers, example.answer_starts
        assert example.context[start : start + len(answer)] == answer


def test_questions_about_a_passage_have_different_answers(
    parts: tuple[list[Example], list[Example]],
) -> None:
    answers = defaultdict(list)
    for example in parts[1]:
        answers[example.context].append(example.answers[0])
    assert all(len(found) == len(set(found)) == 4 for found in answers.values())


def test_every_passage_holds_two_years(parts: tuple[list[Example], list[Example]]) -> None:
    for example in (*parts[0], *parts[1]):
        assert len(set(re.findall(r"\d{4}년", example.context))) >= 2


def test_no_title_of_one_part_is_in_the_text_of_the_other(
    parts: tuple[list[Example], list[Example]],
) -> None:
    training_text = "\n".join({e.context for e in parts[0]} | {e.question for e in parts[0]})
    assert not [e.title for e in parts[1] if e.title in training_text]


def test_ids_are_unique_and_a_seed_decides_everything(
    parts: tuple[list[Example], list[Example]],
) -> None:
    examples = [*parts[0], *parts[1]]
    assert len({e.id for e in examples}) == len(examples)
    assert make_quickstart(3, 300, 60) == parts
    assert make_quickstart(4, 300, 60) != parts


@pytest.mark.parametrize(
    ("word", "particle", "expected"),
    [
        ("서울", "은", "서울은"),
        ("나무", "은", "나무는"),
        ("서울", "으로", "서울로"),  # after ㄹ
        ("부산", "으로", "부산으로"),
        ("나무", "과", "나무와"),
        ("책", "을", "책을"),
    ],
)
def test_particles_fit_the_last_syllable(word: str, particle: str, expected: str) -> None:
    assert attach(word, particle) == expected


def test_the_tokenizer_is_the_same_in_every_process() -> None:
    command = [sys.executable, "-c", TRAIN_A_TOKENIZER]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert first == second
    assert '"vocab"' in first
