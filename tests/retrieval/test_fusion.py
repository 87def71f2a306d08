"""Several legs as one search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.retrieval.fusion import fuse

SCORES = st.dictionaries(st.integers(0, 9), st.floats(0, 100).map(lambda x: round(x, 2)))


def ranked(scores: dict[int, float]) -> list[tuple[int, float]]:
    return sorted(scores.items(), key=lambda each: (-each[1], each[0]))


@given(SCORES, SCORES, st.floats(0.1, 2))
def test_sums_of_standardised_scores(
    first: dict[int, float], second: dict[int, float], weight: float
) -> None:
    found = fuse([ranked(first), ranked(second)], [1.0, weight])
    if not first or not second:
        assert found == ranked(first or second)
        return
    sums, unit = dict.fromkeys(first.keys() | second.keys(), 0.0), 0.0
    for scores, w in ((first, 1.0), (second, weight)):
        values = np.array(list(scores.values()))
        if values.std() == 0 and scores.keys() != sums.keys():  # to what it has not found
            ones = np.array([key in scores for key in sums], float)
            for key, one in zip(sums, ones, strict=True):
                sums[key] += w * (one - ones.mean()) / ones.std()
        if values.std() > 0:
            unit = unit or values.std()
            for key in sums:
                sums[key] += w * (scores.get(key, values.min()) - values.mean()) / values.std()
    expected = {key: value * (unit or 1) for key, value in sums.items()}
    assert dict(found) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert [score for _, score in found] == sorted(dict(found).values(), reverse=True)


def test_a_sure_list_outvotes_an_unsure_one() -> None:
    """By ranks the two would be equal."""
    sure = [(1, 30.0), (2, 10.0), (3, 9.0)]
    unsure = [(2, 10.1), (1, 10.0), (3, 9.0)]
    assert [key for key, _ in fuse([sure, unsure], [1.0, 1.0])] == [1, 2, 3]


def test_distances_are_in_the_unit_of_the_first_list() -> None:
    first, flat = [(1, 30.0), (2, 10.0)], [(1, 5.0), (2, 5.0)]
    (_, best), (_, second) = fuse([first, flat], [1.0, 1.0])
    assert best - second == pytest.approx(20.0)


def test_the_only_passage_that_a_list_has_found_counts() -> None:
    """As that with the one rare word that is asked for; and of several with equal scores each."""
    others = [(i, 1.0 - i / 100) for i in range(1, 20)]
    assert fuse([[(19, 7.5)], others], [1.0, 0.5])[0][0] == 19
    for equal in (7.5, 12.3278):  # the mean of six of the latter is another number
        found = fuse([[(key, equal) for key in range(14, 20)], others], [1.0, 0.5])
        assert {key for key, _ in found[:6]} == set(range(14, 20))
