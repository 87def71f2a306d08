"""How certain a score is: bootstrap intervals over questions, and a paired test of two models.

Q: questions, K: measures of each, R: resamples, D: distinct rows of values. Questions with equal
values are drawn together, as a count: the same distribution as drawing them one by one, in less
time and memory. The seed is fixed, so that the same values always give the same interval.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

RESAMPLES = 10_000
_NUMBERS_AT_ONCE = 1 << 22  # 32 MiB of float64


def bootstrap_interval(
    values: np.ndarray, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """Return the low and the high end of a bootstrap interval of the mean over questions.

    A resample draws Q questions with replacement, all K measures of a question together; the ends
    are percentiles of the resamples' means. Source: Efron and Tibshirani 1993, chapter 13.

    Args:
        values: (Q, K).
        level: Share of the means that the interval holds.
        resamples: R.
        seed: Of the drawing.

    Returns:
        (2, K) float64; nan without questions.
    """
    questions, measures = values.shape
    if questions == 0:
        return np.full((2, measures), np.nan)
    distinct, number = np.unique(values, axis=0, return_counts=True)  # (D, K), (D,)
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            rng.multinomial(questions, number / questions, size=rows) @ distinct / questions
            for rows in _blocks(resamples, len(distinct))
        ]
    )  # (R, K)
    tail = 100 * (1 - level) / 2
    interval: np.ndarray = np.percentile(means, [tail, 100 - tail], axis=0)
    return interval


def sign_flip_p_value(differences: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Return the two-sided p-value of a mean difference, if both models were equally good.

    If models A and B are equally good on every question, each difference could as well have the
    other sign. The p-value is the share of R random choices of signs whose mean is at least as far
    from 0 as the mean that was found. The signs found count as one choice, so the p-value is at
    least 1 / (R + 1). Source: approximate randomisation, Noreen 1989. For exact match this is
    McNemar's exact test.

    Args:
        differences: (Q,) B minus A on each question.
        resamples: R.
        seed: Of the signs.
    """
    sizes, number = np.unique(np.abs(differences[differences != 0]), return_counts=True)  # (D,)
    if len(sizes) == 0:
        return 1.0
    found = abs(float(differences.sum()))
    rng = np.random.default_rng(seed)
    as_far = 0
    for rows in _blocks(resamples, len(sizes)):
        positive = rng.binomial(number, 0.5, size=(rows, len(sizes)))
        sums = np.abs((2 * positive - number) @ sizes)
        as_far += int((sums >= found - 1e-9).sum())  # rounding must not separate equal sums
    return (1 + as_far) / (1 + resamples)


def _blocks(resamples: int, width: int) -> Iterator[int]:
    """Yield numbers of rows that add up to `resamples`, each a block of bounded size at `width`."""
    rows = max(1, _NUMBERS_AT_ONCE // width)
    for start in range(0, resamples, rows):
        yield min(rows, resamples - start)
