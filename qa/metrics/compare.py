"""Two readers on the same questions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qa.metrics.official import METRICS
from qa.metrics.resample import bootstrap_interval, sign_flip_p_value


@dataclass(frozen=True)
class Difference:
    """How much reader B is above reader A in one measure."""

    difference: float  # in %
    low: float  # 95 % bootstrap interval of it
    high: float
    p_value: float  # two-sided


def compare(name: str, values_a: np.ndarray, values_b: np.ndarray) -> dict[str, Difference]:
    """B minus A in each measure of the score `name`, over the questions that count for both.

    values_a, values_b: (Q, 2), `Score.values` of the same questions in the same order.
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
