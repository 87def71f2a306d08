"""SQuAD v2.0's thresholds on the probability that a question has no answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qa.metrics.official import METRICS


def apply_threshold(
    values: np.ndarray,
    has_answer: np.ndarray,
    ids: Sequence[str],
    na_probs: Mapping[str, float],
    threshold: float,
) -> np.ndarray:
    """Return `values` as they would be without an answer where `na_probs` exceed the threshold.

    Args:
        values: (Q, 2) values of a squad2 Score, nan where a question does not count.
        has_answer: (Q,) bool, of the same Score.
        ids: (Q,) of the questions.
        na_probs: Id -> probability that the question has no answer; 0 if an id is missing.
        threshold: A probability above it counts as "no answer".

    Returns:
        (Q, 2) float64.
    """
    probs = np.array([na_probs.get(example_id, 0.0) for example_id in ids])  # (Q,)
    is_above = (probs > threshold) & ~np.isnan(values[:, 0])
    return np.where(is_above[:, None], (~has_answer)[:, None].astype(float), values)


def best_thresholds(
    values: np.ndarray,
    has_answer: np.ndarray,
    ids: Sequence[str],
    predictions: Mapping[str, str],
    na_probs: Mapping[str, float],
) -> dict[str, float]:
    """Find the best thresholds as the official script does.

    Questions are answered one after the other in the order of their probabilities, those of equal
    probability in the order of `na_probs`. The sum of scores starts at the number of unanswerable
    questions; the threshold is 0 if answering any number of questions makes it no larger.

    Args:
        values: (Q, 2) values of a squad2 Score before any threshold.
        has_answer: (Q,) bool, of the same Score.
        ids: (Q,) of the questions.
        predictions: Id -> predicted text, "" for no answer.
        na_probs: Id -> probability that the question has no answer.

    Returns:
        best_exact and best_f1, in %, and their thresholds best_exact_thresh and best_f1_thresh.
    """
    row = {example_id: i for i, example_id in enumerate(ids)}
    order = [
        example_id
        for example_id in sorted(na_probs, key=na_probs.__getitem__)
        if example_id in row and not np.isnan(values[row[example_id], 0])
    ]
    rows = np.array([row[example_id] for example_id in order], dtype=int)
    lost = np.array([-1.0 if predictions[example_id] else 0.0 for example_id in order])
    start = float((~has_answer).sum())
    total = int((~np.isnan(values[:, 0])).sum())
    result = {}
    for column, key in enumerate(METRICS["squad2"].keys):
        gains = np.where(has_answer[rows], values[rows, column], lost)
        sums = np.cumsum(np.concatenate([[start], gains]))  # (1 + len(order),)
        best = int(sums.argmax())  # the first of equals
        result[f"best_{key}"] = 100.0 * float(sums[best]) / total if total else float("nan")
        result[f"best_{key}_thresh"] = float(na_probs[order[best - 1]]) if best else 0.0
    return result
