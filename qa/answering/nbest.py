"""From the spans of windows to the answers of an example: merge, cut the text, weigh."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Answer:
    """One candidate answer: `context[start:end] == text`, in characters."""

    text: str
    start: int
    end: int
    score: float  # start logit + end logit - the null score of its window
    probability: float  # softmax over the candidates of this question


NOTHING_FOUND = 1e9  # odds where nothing can be an answer; JSON has no infinity

CharacterScores: TypeAlias = dict[tuple[int, int], float]
"""(start, end) in characters -> best score over the windows that hold this span."""


def add_spans(
    merged: CharacterScores,
    window: Mapping[str, Any],
    scores: list[float],
    firsts: list[int],
    lasts: list[int],
    start_trims: list[int],
    end_trims: list[int],
) -> None:
    """Add one window's spans, best first, to an example's: one of several windows counts once.

    firsts, lasts: token indices in the window. start_trims, end_trims: characters of these tokens
    that the answer leaves out at its front and at its end. Overlapping windows see a span in
    different surroundings; the better of its scores is kept.
    """
    starts, ends = window["offset_starts"], window["offset_ends"]
    spans = zip(scores, firsts, lasts, start_trims, end_trims, strict=True)
    for score, first, last, start_trim, end_trim in spans:
        if score == -math.inf:
            break  # only impossible pairs follow
        key = (int(starts[first]) + start_trim, int(ends[last]) - end_trim)
        if score > merged.get(key, -math.inf):
            merged[key] = score


def rank_answers(context: str, merged: CharacterScores, n_best_size: int) -> list[Answer]:
    """The best answers of one example, best first; equal scores in the order of the text."""
    best = sorted(merged.items(), key=lambda item: (-item[1], item[0]))[:n_best_size]
    if not best:
        return []
    top = best[0][1]  # taken off before exp, so that it cannot overflow
    weights = [math.exp(score - top) for _, score in best]
    total = sum(weights)
    return [
        Answer(context[start:end], start, end, score, weight / total)
        for ((start, end), score), weight in zip(best, weights, strict=True)
    ]


def null_odds(answers: Sequence[Answer]) -> float:
    """How far "no answer" is ahead of the best of a question's answers; below 0: it is behind."""
    return -answers[0].score if answers else NOTHING_FOUND
