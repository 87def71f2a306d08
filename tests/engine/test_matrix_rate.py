"""The matrix rate: positive and finite, measured without drawing from torch's generator."""

from __future__ import annotations

import math
import time

import pytest
import torch

from qa.engine.matrix_rate import CPU_SHAPE, matrix_rate
from qa.engine.precision import Precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_positive_finite_and_without_a_draw(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.engine.matrix_rate.SECONDS", 0.01)
    torch.manual_seed(4)
    before = torch.get_rng_state()
    rate = matrix_rate(Precision(precision, CPU))
    assert torch.equal(torch.get_rng_state(), before)
    assert math.isfinite(rate)
    assert rate > 0


def test_best_of_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are three products, of 4, 2 and 8 s, before the time is over."""
    now = iter([0.0, 0.0, 0.0, 4.0, 4.0, 4.0, 6.0, 6.0, 6.0, 14.0, 14.0])
    monkeypatch.setattr("qa.engine.matrix_rate.SECONDS", 10.0)
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    assert matrix_rate(Precision("fp32", CPU)) == math.prod(CPU_SHAPE)  # 2 operations each in 2 s
