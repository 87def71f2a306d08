"""The matrix rate: positive and finite, measured without drawing from torch's generator."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from qa.engine.matrix_rate import matrix_rate
from qa.engine.precision import Precision

CPU = torch.device("cpu")
SHAPE = 512, 384, 256  # small: a CPU that emulates bf16 takes seconds for the real one


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.engine.matrix_rate.CPU_SHAPE", SHAPE)
    monkeypatch.setattr("qa.engine.matrix_rate.SECONDS", 0.01)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_positive_finite_and_without_a_draw(precision: str) -> None:
    torch.manual_seed(4)
    before = torch.get_rng_state()
    rate = matrix_rate(Precision(precision, CPU))
    assert torch.equal(torch.get_rng_state(), before)
    assert math.isfinite(rate)
    assert rate > 0


class Products(TorchDispatchMode):
    """Keeps the matrices that are multiplied."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.factors: list[torch.Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.mm.default:
            self.factors += args
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_matrices_are_random(precision: str) -> None:
    """A GPU multiplies constants faster than numbers of a training."""
    with Products() as products:
        matrix_rate(Precision(precision, CPU))
    for factor in products.factors:
        assert factor.float().mean() == pytest.approx(0, abs=0.01)
        assert factor.float().std() == pytest.approx(1, abs=0.01)
    assert products.factors


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_without_a_draw_on_a_gpu(precision: str) -> None:
    device = torch.device("cuda")
    before = torch.cuda.get_rng_state(device), torch.get_rng_state()
    assert matrix_rate(Precision(precision, device)) > 0
    assert torch.equal(torch.cuda.get_rng_state(device), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


def test_best_of_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are three products, of 4, 2 and 8 s, before the time is over."""
    now = iter([0.0, 0.0, 0.0, 4.0, 4.0, 4.0, 6.0, 6.0, 6.0, 14.0, 14.0])
    monkeypatch.setattr("qa.engine.matrix_rate.SECONDS", 10.0)
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    assert matrix_rate(Precision("fp32", CPU)) == math.prod(SHAPE)  # 2 operations each in 2 s


def test_one_product_is_measured_even_if_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that is busy with something else between two lines."""
    now = iter([0.0, 20.0, 20.0, 24.0, 24.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    assert matrix_rate(Precision("fp32", CPU)) == math.prod(SHAPE) / 2
