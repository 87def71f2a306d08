"""Data with questions that have no answer: what was answered, and where the threshold stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qa.report.judged import Judged

BARS = 24
OUTCOMES = ("right", "wrong", "unanswered")


@dataclass(frozen=True)
class NoAnswer:
    """How many questions were answered, with and without a gold answer, and their null odds."""

    has_answer: dict[str, int]  # outcome -> questions; leaving one of these unanswered is wrong
    no_answer: dict[str, int]
    edges: list[float]  # of the bars of the histogram; empty without candidates
    bars_has_answer: list[int]
    bars_no_answer: list[int]


def outcome(each: Judged) -> str:
    """Return whether a question was answered, and if so whether rightly."""
    if not each.is_answered:
        return "unanswered"
    return "right" if each.is_right else "wrong"


def count_no_answer(judged: Sequence[Judged]) -> NoAnswer | None:
    """Return the counts; None if every question has an answer."""
    if all(each.example.gold_answers for each in judged):
        return None
    counts = {has: dict.fromkeys(OUTCOMES, 0) for has in (True, False)}
    for each in judged:
        counts[bool(each.example.gold_answers)][outcome(each)] += 1
    asked = [each for each in judged if each.candidates]
    edges, bars = np.zeros(0), {True: np.zeros(0, int), False: np.zeros(0, int)}
    if asked:
        odds = np.array([-each.candidates[0].score for each in asked])
        has = np.array([bool(each.example.gold_answers) for each in asked])
        # The ends, of which there are few, go into the outer bars.
        low, high = np.percentile(odds, [0.5, 99.5])
        edges = np.histogram_bin_edges([low, high], BARS)
        inside = np.clip(odds, edges[0], edges[-1])
        bars = {value: np.histogram(inside[has == value], edges)[0] for value in (True, False)}
    return NoAnswer(
        counts[True], counts[False], edges.tolist(), bars[True].tolist(), bars[False].tolist()
    )
