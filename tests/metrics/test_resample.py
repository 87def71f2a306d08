"""Intervals and p-values against full enumeration, known distributions and the normal limit."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.metrics.compare import compare
from qa.metrics.resample import bootstrap_interval, sign_flip_p_value


def all_resampled_means(values: list[float]) -> np.ndarray:
    """The mean of every possible resample, each as likely as any other."""
    return np.array([np.mean(draw) for draw in itertools.product(values, repeat=len(values))])


def all_signed_sums(differences: list[float]) -> np.ndarray:
    signs = itertools.product((-1, 1), repeat=len(differences))
    return np.array([np.dot(sign, differences) for sign in signs])


@pytest.mark.parametrize(
    "values", [[0, 0, 1, 1, 1], [0.1, 0.5, 0.5, 0.9, 1.0, 0.0], [0.3, 0.7, 0.2]]
)
@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_interval_against_every_resample(values: list[float], level: float) -> None:
    means = all_resampled_means(values)
    low, high = bootstrap_interval(np.array(values)[:, None], level)[:, 0]
    tail = (1 - level) / 2
    for end, share in ((low, tail), (high, 1 - tail)):  # the drawn quantile is near the true one
        assert np.mean(means < end - 1e-9) <= share + 0.01
        assert np.mean(means <= end + 1e-9) >= share - 0.01


def test_interval_of_many_questions_is_the_normal_one() -> None:
    rng = np.random.default_rng(3)
    values = np.stack([rng.random(4000) < 0.6, rng.random(4000)], axis=1).astype(float)
    low, high = bootstrap_interval(values)
    mean, error = values.mean(axis=0), values.std(axis=0) / math.sqrt(len(values))
    assert np.allclose(low, mean - 1.96 * error, atol=0.1 * error.min())
    assert np.allclose(high, mean + 1.96 * error, atol=0.1 * error.min())


def test_columns_are_drawn_together() -> None:
    """A column and its complement always add up to 1, in every resample."""
    column = np.array([1.0, 0, 0, 1, 1, 1, 0, 1])
    low, high = bootstrap_interval(np.stack([column, 1 - column], axis=1))
    assert low[0] == pytest.approx(1 - high[1])
    assert high[0] == pytest.approx(1 - low[1])


def test_many_distinct_values_are_drawn_in_blocks() -> None:
    values = np.random.default_rng(0).random((3000, 1))
    low, high = bootstrap_interval(values, resamples=2001)[:, 0]
    error = values.std() / math.sqrt(3000)
    assert (low, high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.2 * error
    )


def test_interval_of_hardly_any_questions() -> None:
    assert np.isnan(bootstrap_interval(np.empty((0, 2)))).all()
    assert bootstrap_interval(np.array([[0.3, 1.0]])).tolist() == [[0.3, 1.0]] * 2
    assert bootstrap_interval(np.ones((50, 1))).tolist() == [[1.0], [1.0]]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_interval_is_inside_the_values_and_repeats(values: list[float]) -> None:
    column = np.array(values)[:, None]
    low, high = bootstrap_interval(column, resamples=200)[:, 0]
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    assert bootstrap_interval(column, resamples=200)[:, 0].tolist() == [low, high]


@pytest.mark.parametrize(
    "differences",
    [
        [1, 1, 1, 1, 1, -1],
        [0.5, -0.25, 1.0, 0.0, 0.3, 0.3, -0.1],
        [1, -1],
        [0.1, 0.2, 0.3],  # sums that rounding alone parts
        [0.7],
    ],
)
def test_p_value_against_every_signing(differences: list[float]) -> None:
    sums = all_signed_sums(differences)
    exact = np.mean(np.abs(sums) >= abs(sum(differences)) - 1e-9)
    assert sign_flip_p_value(np.array(differences)) == pytest.approx(exact, abs=0.02)


def test_p_value_of_exact_match_is_mcnemars() -> None:
    """30 against 15 discordant questions: the two-sided binomial tail."""
    differences = np.array([1.0] * 30 + [-1.0] * 15 + [0.0] * 500)
    exact = 2 * sum(math.comb(45, k) for k in range(30, 46)) / 2**45
    assert sign_flip_p_value(differences, resamples=100_000) == pytest.approx(exact, abs=0.002)


def test_p_value_of_readers_that_are_equal_or_far_apart() -> None:
    assert sign_flip_p_value(np.zeros(10)) == 1.0
    assert sign_flip_p_value(np.empty(0)) == 1.0
    assert sign_flip_p_value(np.array([0.5, -0.5])) == 1.0
    assert sign_flip_p_value(np.ones(100), resamples=999) == 1 / 1000


def test_p_values_of_equal_readers_are_uniform() -> None:
    rng = np.random.default_rng(5)
    found = [sign_flip_p_value(rng.normal(size=60), resamples=400) for _ in range(400)]
    for share in (0.05, 0.25, 0.5):
        assert np.mean(np.array(found) <= share) == pytest.approx(share, abs=0.08)


def test_compare_two_readers() -> None:
    rng = np.random.default_rng(6)
    worse = np.stack([rng.random(800) < 0.5, rng.random(800)], axis=1).astype(float)
    better = worse.copy()
    better[:80] = 1.0
    found = compare("korquad1", worse, better)
    assert list(found) == ["exact_match", "f1"]
    difference = 100 * (better - worse)
    error = difference.std(axis=0) / math.sqrt(800)
    for i, measure in enumerate(found.values()):
        assert measure.difference == pytest.approx(difference[:, i].mean())
        assert measure.low == pytest.approx(measure.difference - 1.96 * error[i], abs=0.3)
        assert measure.high == pytest.approx(measure.difference + 1.96 * error[i], abs=0.3)
        assert measure.p_value < 0.001
    back = compare("korquad1", better, worse)["f1"]
    assert back.difference == -found["f1"].difference
    assert back.p_value == found["f1"].p_value


def test_compare_leaves_out_what_either_reader_leaves_out() -> None:
    nan = float("nan")
    one = np.array([[1.0, 1.0], [nan, nan], [0.0, 0.5]])
    other = np.array([[nan, nan], [1.0, 1.0], [1.0, 1.0]])
    found = compare("squad2", one, other)
    assert (found["exact"].difference, found["f1"].difference) == (100.0, 50.0)
    assert math.isnan(compare("squad2", one, other[:, ::-1] * nan)["exact"].difference)
