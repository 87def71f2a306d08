"""Exact match against the share of questions that are answered: what a threshold would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qa.report.gains import percent
from qa.report.judged import Judged

SHARES = (25, 50, 75, 90)


@dataclass(frozen=True)
class ShareAnswered:
    """The surest questions first. All in %."""

    points: list[tuple[float, float]]  # (share answered, exact match among these)
    at: list[tuple[float, float]]  # the same at `SHARES`
    by: str  # what the order is by
    answered: float | None  # the share that this run answered; None: all
    exact_match_answered: float | None  # among these
    threshold: float | None  # largest null odds that were still answered


def share_answered(judged: Sequence[Judged]) -> ShareAnswered | None:
    """Return the curve; None without candidates.

    A question counts with its best candidate, whether this run gave it or not. The order is that of
    the probabilities; if some questions were left unanswered, that of the null odds, which decided.
    """
    asked = [each for each in judged if each.candidates]
    if not asked:
        return None
    leaves = [not each.is_answered for each in asked]
    odds = np.array([-each.candidates[0].score for each in asked])  # (Q,)
    doubts = odds if any(leaves) else np.array([-e.candidates[0].probability for e in asked])
    right = np.array([each.right_rank == 1 for each in asked])  # (Q,) bool
    order = np.argsort(doubts, kind="stable")
    matches = 100.0 * np.cumsum(right[order]) / np.arange(1, len(order) + 1)  # (Q,)
    answered = len(asked) - sum(leaves)
    thinned = np.unique(np.linspace(1, len(order), 200).astype(int))

    def point(number: int) -> tuple[float, float]:
        return percent(number, len(order)), float(matches[number - 1])

    is_partly = 0 < answered < len(asked)
    given = [each.is_right for each in asked if each.is_answered]
    return ShareAnswered(
        points=[point(int(number)) for number in thinned],
        at=[point(max(1, round(share * len(order) / 100))) for share in SHARES],
        by="null odds" if any(leaves) else "probability",
        answered=percent(answered, len(asked)) if is_partly else None,
        exact_match_answered=percent(sum(given), answered) if is_partly else None,
        threshold=float(odds[[not leave for leave in leaves]].max()) if is_partly else None,
    )
