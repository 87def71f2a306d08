"""Reliability by hand, and the temperature beside a dense grid."""

from __future__ import annotations

import numpy as np
import pytest
from support.reports import made_up, many_examples

from qa.report.calibration import (
    Calibration,
    calibrate,
    expected_error,
    fit_temperature,
    reliability,
    top_probabilities,
)
from qa.report.judged import Judged, judge

EXAMPLES = many_examples(60)


def judged(heat: float, copies: int = 60) -> list[Judged]:
    examples = EXAMPLES[: 12 * copies]
    return judge(made_up(examples, heat=heat), examples, "korquad1")[0]


def calibrated(heat: float, copies: int = 60) -> Calibration:
    found = calibrate(judged(heat, copies))
    assert found is not None
    return found


def test_by_hand() -> None:
    probabilities = np.array([0.95, 0.92, 0.91, 0.35, 1.0])
    right = np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    # Bin 4: 0.35 against 0. Bin 10: mean 0.945 against 3 of 4.
    assert expected_error(probabilities, right) == pytest.approx(0.2 * 0.35 + 0.8 * 0.195)
    low, high = reliability(probabilities, right)
    assert (low.count, low.probability, low.right) == (1, 0.35, 0)
    assert (high.count, high.right) == (4, 0.75)
    assert high.probability == pytest.approx(0.945)
    assert (high.low, high.high) == (0.25, 1)


@pytest.mark.parametrize("heat", [0.6, 1.0, 3.0])
def test_the_temperature_is_that_of_a_dense_grid(heat: float) -> None:
    rng = np.random.default_rng(int(10 * heat))
    scores = -np.sort(-heat * rng.normal(size=(400, 6)), axis=1)
    scores[::7, 3:] = -np.inf
    right = (rng.random(400) < 0.7).astype(float)

    def loss(temperature: float) -> float:
        weights = np.exp(scores / temperature)
        chosen = np.clip(weights[:, 0] / weights.sum(1), 1e-12, 1 - 1e-12)
        return float(-np.mean(right * np.log(chosen) + (1 - right) * np.log1p(-chosen)))

    grid = np.arange(0.1, 10, 0.005)
    best = grid[np.argmin([loss(temperature) for temperature in grid])]
    assert fit_temperature(scores, right) == pytest.approx(best, rel=0.01)


def test_the_temperature_that_scores_were_made_with_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = -np.sort(-2 * rng.normal(size=(4000, 6)), axis=1)
    right = (rng.random(4000) < top_probabilities(logits, 1.0)).astype(float)
    temperature = fit_temperature(1.7 * logits[:2000], right[:2000])
    assert temperature == pytest.approx(1.7, rel=0.1)
    errors = [
        expected_error(top_probabilities(1.7 * logits[2000:], t), right[2000:])
        for t in (1.0, temperature)
    ]
    assert errors[1] < 0.03 < 0.05 < errors[0]


def test_a_reader_that_is_too_sure_is_mended() -> None:
    found = calibrated(heat=6)
    assert found.temperature is not None
    assert found.before is not None
    assert found.after is not None
    assert found.temperature > 2
    assert 4 * found.after < found.before
    # The errors are of the contexts that the fit did not see: every other one.
    contexts = list(dict.fromkeys(each.example.context for each in judged(heat=6)))
    shown = [e for e in judged(heat=6) if contexts.index(e.example.context) % 2]
    scores = np.array([[answer.score for answer in e.candidates] for e in shown])
    right = np.array([e.is_right for e in shown], dtype=float)
    for temperature, error in ((1.0, found.before), (found.temperature, found.after)):
        weights = np.exp(scores / temperature)
        sure = weights[:, 0] / weights.sum(1)
        assert error == pytest.approx(expected_error(sure, right))
        assert top_probabilities(scores, temperature) == pytest.approx(sure)
    assert found.bins_after is not None
    assert sum(each.count for each in found.bins_after) == len(shown)
    assert sum(each.count for each in found.bins) == found.count == 720


def test_few_questions_give_no_temperature() -> None:
    found = calibrated(heat=6, copies=10)
    assert (found.temperature, found.before, found.bins_after) == (None, None, None)
    assert found.error > 0.1


def test_a_temperature_that_helps_nothing_is_not_offered() -> None:
    first = calibrated(heat=6).temperature
    assert first is not None
    again = calibrated(heat=6 / first)
    assert again.temperature is None or again.temperature == pytest.approx(1, abs=0.1)
