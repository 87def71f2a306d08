"""The findings of several legs as one list, by how far each stands out within its own list."""

from __future__ import annotations

from collections.abc import Sequence

from qa.retrieval.engines.engine import Found

DEPTH = 100  # passages of each leg that take part


def fuse(lists: Sequence[Found], weights: Sequence[float]) -> Found:
    """Return the weighted sums of the lists' standardised scores, best first.

    Scores of one list are (score - mean) / deviation; a passage that a list has not found counts
    there as its last one, and in a list that all score alike in as 0 beside their 1. Ranks would
    forget how sure a list is, and so let a weak one outvote a strong one. The sums are in the unit
    of the first list that found anything: multiplied by its deviation.

    Args:
        lists: Keys and scores of each leg, best first.
        weights: Of the legs.
    """
    found = [(leg, weight) for leg, weight in zip(lists, weights, strict=True) if leg]
    if len(found) < 2:
        return found[0][0] if found else []
    sums = dict.fromkeys((key for leg, _ in found for key, _ in leg), 0.0)
    unit = 0.0
    for leg, weight in found:
        mean = sum(score for _, score in leg) / len(leg)
        spread = (sum((score - mean) ** 2 for _, score in leg) / len(leg)) ** 0.5
        # They all score alike: it prefers them to what it has not found. Not told by the spread,
        # since the mean of equal numbers may be off by a bit.
        if len({score for _, score in leg}) == 1:
            share = len(leg) / len(sums)
            both = {True: ((1 - share) / share) ** 0.5, False: -((share / (1 - share or 1)) ** 0.5)}
            keys = {key for key, _ in leg}
            for key in sums if share < 1 else ():
                sums[key] += weight * both[key in keys]
            continue
        unit = unit or spread
        scores, least = dict(leg), min(score for _, score in leg)
        for key in sums:
            sums[key] += weight * (scores.get(key, least) - mean) / spread
    return sorted(
        ((key, value * (unit or 1.0)) for key, value in sums.items()),
        key=lambda each: (-each[1], each[0]),
    )
