"""Does a probability mean what it says? Reliability, its error, and the temperature that mends it.

Q: questions, N: candidates of a question, B: bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qa.data.holdout import every_other_context
from qa.metrics.resample import bootstrap_interval
from qa.report.judged import Judged

BINS = 10
RANGE = (0.1, 10.0)  # of temperatures that are tried
STEPS = 41
FEWEST = 100  # questions in a half; with fewer the error is mostly noise


@dataclass(frozen=True)
class Bin:
    """Questions of like probability; shares from 0 to 1, the interval is a 95 % bootstrap one."""

    count: int
    probability: float  # mean
    right: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """How far probabilities are from the share of right answers.

    `error` is the ECE: the mean distance over questions, in bins of equal width (Naeini et al.
    2015). The temperature is fitted on the questions about every other context, and the errors of
    `before` and `after` are those of the other questions.
    """

    count: int
    bins: list[Bin]
    error: float
    temperature: float | None  # None: too few questions, or none makes the error smaller
    before: float | None = None
    after: float | None = None
    bins_after: list[Bin] | None = None


def calibrate(judged: Sequence[Judged]) -> Calibration | None:
    """Return the calibration of the questions that were answered; None without candidates."""
    answered = [each for each in judged if each.candidates and each.is_answered]
    if not answered:
        return None
    probabilities = np.array([each.candidates[0].probability for each in answered])  # (Q,)
    right = np.array([each.is_right for each in answered], dtype=np.float64)  # (Q,)
    bins, error = reliability(probabilities, right), expected_error(probabilities, right)
    fits = np.array(every_other_context(each.example for each in answered))  # (Q,) bool
    found = None
    if min(fits.sum(), (~fits).sum()) >= FEWEST:
        scores = score_matrix(answered)
        temperature = fit_temperature(scores[fits], right[fits])
        cooled = top_probabilities(scores[~fits], temperature)
        before = expected_error(probabilities[~fits], right[~fits])
        after = expected_error(cooled, right[~fits])
        if after < before:
            found = (temperature, before, after, reliability(cooled, right[~fits]))
    return Calibration(len(answered), bins, error, *(found or (None,)))


def reliability(probabilities: np.ndarray, right: np.ndarray) -> list[Bin]:
    """Return the bins that hold a question. Both (Q,) float64, from 0 to 1."""
    index = np.minimum((probabilities * BINS).astype(int), BINS - 1)  # (Q,)
    bins = []
    for number in np.unique(index):
        part = right[index == number]
        low, high = bootstrap_interval(part[:, None])[:, 0]
        mean = float(probabilities[index == number].mean())
        bins.append(Bin(len(part), mean, float(part.mean()), float(low), float(high)))
    return bins


def expected_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    """Return the expected calibration error, from 0 to 1. Both (Q,) float64, from 0 to 1."""
    index = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    gaps = np.bincount(index, weights=right - probabilities, minlength=BINS)
    return float(np.abs(gaps).sum() / len(right))


def fit_temperature(scores: np.ndarray, right: np.ndarray) -> float:
    """Return the temperature under which the outcomes are most likely, to three decimals.

    Source: Guo et al. 2017; here over whole answers, of which a reader knows the n best.

    Args:
        scores: (Q, N) of the candidates, best first; -inf where there are fewer.
        right: (Q,) float64, 1 if the best candidate is right, else 0.
    """
    tried = np.geomspace(*RANGE, STEPS)
    for _ in range(2):  # coarse, then around the best
        best = int(np.argmin([negative_log_likelihood(scores, right, t) for t in tried]))
        tried = np.geomspace(tried[max(0, best - 1)], tried[min(best + 1, STEPS - 1)], STEPS)
    best = int(np.argmin([negative_log_likelihood(scores, right, t) for t in tried]))
    return round(float(tried[best]), 3)


def negative_log_likelihood(scores: np.ndarray, right: np.ndarray, temperature: float) -> float:
    """Return the mean over questions of -log p(what came of the best candidate)."""
    probabilities = np.clip(top_probabilities(scores, temperature), 1e-12, 1 - 1e-12)
    return float(-np.log(np.where(right > 0, probabilities, 1 - probabilities)).mean())


def top_probabilities(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Return (Q,) the best candidates' probabilities: softmax of scores / temperature."""
    return np.asarray(1 / np.exp((scores - scores[:, :1]) / temperature).sum(axis=1))


def score_matrix(answered: Sequence[Judged]) -> np.ndarray:
    """Return (Q, N) the candidates' scores, -inf where there are fewer than N."""
    longest = max(len(each.candidates) for each in answered)
    scores = np.full((len(answered), longest), -np.inf)
    for row, each in zip(scores, answered, strict=True):
        row[: len(each.candidates)] = [answer.score for answer in each.candidates]
    return scores
