"""Answers that were written freely: counted, given, placed where they stand after all."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from qa.answering.free_answers import FreeAnswer, Outside, judge_free, read_free, send_free
from qa.answering.nbest import OUTSIDE, Answer, CharacterScores, in_original, rank_answers
from qa.models.generative.free import FreeAnswers

CONTEXT = "강나루는 화가이다."
WORDS = {1: "강나루", 2: "시인", 3: " "}


def to_text(ids: list[int]) -> str:
    return "".join(WORDS[i] for i in ids)


def judge(*answers: FreeAnswer, counts: bool) -> tuple[Any, bool, CharacterScores]:
    merged: CharacterScores = {}
    texts, is_outside = judge_free(answers, CONTEXT, merged, Outside(to_text, counts))
    return texts, is_outside, merged


@pytest.mark.parametrize("counts", [False, True])
def test_the_best_windows_answer_decides(counts: bool) -> None:
    run, outside = FreeAnswer(1.0, [1], True), FreeAnswer(0.5, [2], False)
    assert judge(run, outside, counts=counts) == ({"시인": 0.5} if counts else {}, False, {})
    better = outside._replace(score=2.0)
    assert judge(run, better, counts=counts) == ({"시인": 2.0} if counts else {}, True, {})


def test_a_text_of_other_tokens_may_stand_in_the_context() -> None:
    same = FreeAnswer(0.5, [3, 1, 3], False)
    assert judge(same, counts=True) == ({}, False, {(0, 3): 0.5})
    assert judge(same, counts=False) == ({}, False, {})


def test_blanks_are_no_answer_and_not_in_the_context() -> None:
    assert judge(FreeAnswer(0.5, [3], False), counts=True) == ({}, True, {})


def test_what_is_sent_is_what_was_written() -> None:
    ids = torch.tensor([[7, 2**24 - 1, -1], [0, -1, -1]])
    places = torch.tensor([3, -1]), torch.tensor([4, -1])
    sent = send_free(FreeAnswers(torch.tensor([0.25, -1.5]), ids, *places))
    assert read_free(sent) == [
        FreeAnswer(0.25, [7, 2**24 - 1], True),
        FreeAnswer(-1.5, [0], False),
    ]


def test_a_model_that_diverged_gives_no_text() -> None:
    """Its scores are no numbers, which no file could hold."""
    ids, places = torch.tensor([[2], [2]]), (torch.tensor([-1, -1]), torch.tensor([-1, -1]))
    nan = float("nan")
    broken = read_free(send_free(FreeAnswers(torch.tensor([nan, nan]), ids, *places)))
    assert judge(*broken, counts=True) == ({}, True, {})
    half = read_free(send_free(FreeAnswers(torch.tensor([nan, 0.5]), ids, *places)))
    assert judge(*half, counts=True) == ({"시인": 0.5}, True, {})


def test_a_question_without_windows_has_no_free_answer() -> None:
    assert judge(counts=True) == ({}, False, {})


def test_answers_outside_are_ranked_with_the_others() -> None:
    answers = rank_answers(CONTEXT, {(0, 3): 1.0, (5, 7): 3.0}, 2, 1.0, {"시인": 2.0, "왕": 0.0})
    assert [(a.text, a.start, a.end, a.score) for a in answers] == [
        ("화가", 5, 7, 3.0),
        ("시인", *OUTSIDE, 2.0),
    ]
    assert sum(a.probability for a in answers) == pytest.approx(1)


def test_answers_outside_stay_as_they_are_in_the_original_text() -> None:
    decomposed = "\u1112\u1161\u11ab 글"
    found = [Answer("글", 2, 3, 2.0, 0.6), Answer("시인", *OUTSIDE, 1.0, 0.4)]
    pieces = in_original(found, decomposed)
    assert [(a.text, a.start, a.end) for a in pieces] == [("글", 4, 5), ("시인", *OUTSIDE)]
