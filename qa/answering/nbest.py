"""From the spans of windows to the answers of an example: merge, cut the text, normalise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from qa.data.characters import is_plain, whole_characters
from qa.data.nfc import original_spans


@dataclass(unsafe_hash=True)  # frozen, it would take four times as long to make: 20 a question
class Answer:
    """One candidate answer: `context[start:end] == text`, in characters.

    One that a generative reader wrote, and that stands nowhere in the context, is at `OUTSIDE`.
    """

    text: str
    start: int
    end: int
    # How far decoding puts it above the null score of its window; the logarithm of the sum of
    # exp(score) for several spans that are the same whole characters.
    score: float
    probability: float  # softmax over the candidates of this question, of score / temperature


OUTSIDE = (-1, -1)  # the place of an answer that is not in the context
NOTHING_FOUND = 1e9  # null odds where no span can be an answer; JSON has no infinity

CharacterScores: TypeAlias = dict[tuple[int, int], float]
"""(start, end) in characters -> best score over the windows that hold this span."""


def add_spans(
    merged: CharacterScores, scores: list[float], starts: list[int], ends: list[int]
) -> None:
    """Add the spans of one window to those of its example.

    Overlapping windows see a span in different surroundings; the best of its scores is kept.

    Args:
        merged: The spans of the example's windows so far; changed.
        scores: (N,) of the window's spans, best first; -inf for a pair of tokens that is no span.
        starts: (N,) first character of each span.
        ends: (N,) the character behind each span.
    """
    for score, span in zip(scores, zip(starts, ends, strict=True), strict=True):
        if score > merged.get(span, -math.inf):
            merged[span] = score


def rank_answers(
    context: str,
    merged: CharacterScores,
    n_best_size: int,
    temperature: float = 1.0,
    outside: Mapping[str, float] | None = None,
) -> list[Answer]:
    """Return the best answers of one example, best first; equal scores in the order of the text.

    Args:
        context: The example's context, of which answers are pieces of whole characters.
        merged: The spans of all its windows.
        n_best_size: How many answers at most; their probabilities sum to 1.
        temperature: Scores are divided by it before they become probabilities.
        outside: Texts that are not in the context, with their scores.
    """
    pieces = whole_pieces(context, merged)
    ranked = [(-score, span, "") for span, score in pieces.items()]
    ranked += [(-score, OUTSIDE, text) for text, score in (outside or {}).items()]
    best = sorted(ranked)[:n_best_size]
    if not best:
        return []
    lowest = best[0][0]  # subtracted before exp, so that exp cannot overflow
    weights = [math.exp((lowest - negative) / temperature) for negative, *_ in best]
    total = sum(weights)
    return [
        Answer(text or context[start:end], start, end, -negative, weight / total)
        for (negative, (start, end), text), weight in zip(best, weights, strict=True)
    ]


def whole_pieces(context: str, merged: CharacterScores) -> CharacterScores:
    """Return the spans as pieces of whole characters that are seen; see `whole_characters`.

    The probabilities of spans that become the same piece add up; one that becomes empty is no
    answer.
    """
    if is_plain(context):
        return merged
    pieces: CharacterScores = {}
    for span, score in merged.items():
        piece = whole_characters(context, *span)
        if piece in pieces:
            low, high = sorted((score, pieces[piece]))
            score = high + math.log1p(math.exp(low - high))
        if piece[0] < piece[1]:
            pieces[piece] = score
    return pieces


def in_original(answers: Sequence[Answer], context: str) -> list[Answer]:
    """Turn answers from the composed context into pieces of `context` itself."""
    if any((answer.start, answer.end) == OUTSIDE for answer in answers):
        return [in_original([a], context)[0] if a.start >= 0 else a for a in answers]
    spans = original_spans(context, [(answer.start, answer.end) for answer in answers])
    # A mark may have been composed with something before it that is not seen.
    pieces = [whole_characters(context, *span) for span in spans]
    return [
        replace(answer, text=context[start:end], start=start, end=end)
        for answer, (start, end) in zip(answers, pieces, strict=True)
    ]


def null_odds(answers: Sequence[Answer]) -> float:
    """Return by how much "no answer" scores above the best answer; below 0 if it scores lower."""
    return -answers[0].score if answers else NOTHING_FOUND


def is_left(odds: float, threshold: float | None) -> bool:
    """Return whether a question of these null odds is left unanswered; None: none is."""
    return threshold is not None and odds > threshold
