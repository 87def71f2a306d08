"""Two readers on the same questions: what the second lost and won, and whether it matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qa.metrics.compare import Difference, compare
from qa.report.judged import Judged

FLIPS = ("both right", "lost", "won", "both wrong")


@dataclass(frozen=True)
class Comparison:
    """The second reader beside the first."""

    flips: dict[str, int]  # each of `FLIPS` -> questions
    kinds: dict[tuple[str, str], int]  # (kind before, kind after) -> questions
    differences: dict[str, Difference]  # as `qa score` has them; p of exact match is McNemar's


def flip_of(before: Judged, after: Judged) -> str:
    """Return what became of a question."""
    return FLIPS[2 * (not before.is_right) + (not after.is_right)]


def compare_readers(
    before: Sequence[Judged],
    after: Sequence[Judged],
    metric: str,
    values: tuple[np.ndarray, np.ndarray],
) -> Comparison:
    """Compare two readers on the questions that count for both.

    Args:
        before: The questions as the first answered them.
        after: The same as the second did, in the same order.
        metric: The official score.
        values: (Q, 2) `Score.values` of the first and of the second.
    """
    pairs = list(zip(before, after, strict=True))
    counts = Counter(flip_of(*pair) for pair in pairs)
    return Comparison(
        {flip: counts[flip] for flip in FLIPS},
        dict(Counter((first.kind, second.kind) for first, second in pairs)),
        compare(metric, *values),
    )
