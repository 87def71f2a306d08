"""Fitting how passages are weighed and which questions are left unanswered.

Either half of the questions is judged by what the other half fits, and all fit what is kept.

Q: questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qa.answering.options import PASSAGE_WEIGHT
from qa.data.examples import Example
from qa.data.holdout import every_other_context
from qa.evaluation.null_threshold import tune_threshold
from qa.open_domain.measure import Measured

# BM25 and the z-scores of several searches differ by a factor of ten.
WEIGHTS = (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5, 8, 12, 20)
FEWEST = 50  # questions in a half that have an answer; with fewer what is fitted is noise


@dataclass(frozen=True)
class Fitted:
    """What was fitted."""

    weights: np.ndarray  # (Q,) that of passages, for each question without it and its half
    thresholds: np.ndarray  # (Q,) on null odds, likewise; inf: the question is answered
    weight: float  # fitted on all questions
    threshold: float | None  # likewise; None: every question is answered


def fit(found: Measured, examples: Sequence[Example], answerable: np.ndarray) -> Fitted | None:
    """Fit the weight of passages and the threshold; None if there are too few questions.

    Args:
        found: What was read.
        examples: The questions.
        answerable: (Q,) bool, whether the collection can answer the question.
    """
    parts = halves(examples, answerable)
    if parts is None:
        return None
    weights, thresholds = np.zeros(len(examples)), np.full(len(examples), np.inf)
    for fits, judged in (parts, parts[::-1]):
        weight = fit_weight(found, fits & answerable)
        threshold = fit_threshold(found, weight, answerable, fits)
        weights[judged] = weight
        thresholds[judged] = np.inf if threshold is None else threshold
    weight = fit_weight(found, answerable)
    every = np.ones(len(examples), dtype=bool)
    return Fitted(weights, thresholds, weight, fit_threshold(found, weight, answerable, every))


def halves(
    examples: Sequence[Example], answerable: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return (Q,) bool, two halves that share no context; None if one is too small.

    What counts are the questions that the collection can answer, `answerable` (Q,) bool: from the
    others alone one learns to answer nothing.
    """
    fits = np.array(every_other_context(examples), dtype=bool)
    is_large = min((fits & answerable).sum(), (~fits & answerable).sum()) >= FEWEST
    return (fits, ~fits) if is_large else None


def fit_weight(found: Measured, part: np.ndarray) -> float:
    """Return the weight with the best sum of EM and F1 over the questions of `part` (Q,) bool.

    Of equals the one nearest to `PASSAGE_WEIGHT`.
    """
    sums = [found.choose(weight).values[part].sum() for weight in WEIGHTS]
    best = max(sums)
    equals = [w for w, each in zip(WEIGHTS, sums, strict=True) if each >= best - 1e-9]
    return float(min(equals, key=lambda weight: abs(weight - PASSAGE_WEIGHT)))


def fit_threshold(
    found: Measured, weight: float, answerable: np.ndarray, part: np.ndarray
) -> float | None:
    """Return the threshold on null odds with the best mean F1; None if nothing calls for one.

    An answer to a question that the collection cannot answer counts as a wrong one.

    Args:
        found: What was read.
        weight: That of passages.
        answerable: (Q,) bool, whether the collection can answer the question.
        part: (Q,) bool, the questions to fit on.
    """
    if answerable[part].all():
        return None
    chosen = found.choose(weight)
    odds = np.minimum(chosen.odds, 1e9)  # JSON has no infinity
    return tune_threshold(chosen.values[part, 1], answerable[part], odds[part])
