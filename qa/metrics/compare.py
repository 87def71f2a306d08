"""The difference of two prediction files on the same questions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qa.metrics.official import METRICS
from qa.metrics.resample import bootstrap_interval, sign_flip_p_value


@dataclass(frozen=True)
class Difference:
    """How much predictions B are above predictions A in one measure."""

    difference: float  # in %
    low: float  # 95 % bootstrap interval of it
    high: float
    p_value: float  # two-sided


def compare(name: str, values_a: np.ndarray, values_b: np.ndarray) -> dict[str, Difference]:
    """Compare B with A in each measure of one score, over the questions that count for both.

    Args:
        name: The official score, a key of `METRICS`.
        values_a: (Q, 2) `Score.values` of A, float64, 0 to 1.
        values_b: (Q, 2) the same of B, of the same questions in the same order.

    Returns:
        Key of the measure -> B minus A.
    """
    differences = values_b - values_a
    differences = differences[~np.isnan(differences[:, 0])]
    low, high = 100.0 * bootstrap_interval(differences)
    return {
        key: Difference(
            100.0 * float(column.mean()) if len(column) else float("nan"),
            float(low[i]),
            float(high[i]),
            sign_flip_p_value(column),
        )
        for i, (key, column) in enumerate(zip(METRICS[name].keys, differences.T, strict=True))
    }
