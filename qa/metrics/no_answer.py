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
    """(Q, 2): `values` if no answer were given where na_probs exceed the threshold.

    values: (Q, 2), has_answer: (Q,) of a squad2 Score; ids: (Q,).
    """
    probs = np.array([na_probs.get(example_id, 0.0) for example_id in ids])  # (Q,)
    withheld = (probs > threshold) & ~np.isnan(values[:, 0])
    return np.where(withheld[:, None], (~has_answer)[:, None].astype(float), values)


def best_thresholds(
    values: np.ndarray,
    has_answer: np.ndarray,
    ids: Sequence[str],
    predictions: Mapping[str, str],
    na_probs: Mapping[str, float],
) -> dict[str, float]:
    """best_exact, best_exact_thresh, best_f1, best_f1_thresh, as the official script finds them.

    values: (Q, 2) and has_answer: (Q,) of a squad2 Score, before any threshold; ids: (Q,).
    Questions are taken in the order of na_probs, those of equal probability in its own order;
    the start is the number of unanswerable questions, the threshold 0 if no prefix is better.
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
