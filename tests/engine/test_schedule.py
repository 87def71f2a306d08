"""Schedules against transformers' own without the first step, whose rate is 0."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from qa.engine import lr_factor
from qa.engine.schedule import warmup_steps

KINDS = ["cosine", "linear", "constant"]


def reference(kind: str, warmup: int, total: int) -> Callable[[int], float]:
    """Transformers' factor as a function of the step, with one step more at the front."""
    warmup, total = warmup + 1, total + 1
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    if kind == "constant":
        schedule = get_constant_schedule_with_warmup(optimizer, warmup)
    elif kind == "linear":
        schedule = get_linear_schedule_with_warmup(optimizer, warmup, total)
    else:
        schedule = get_cosine_schedule_with_warmup(optimizer, warmup, total)
    factor: Callable[[int], float] = schedule.lr_lambdas[0]
    return factor


def assert_equal_at_every_step(kind: str, warmup: int, total: int) -> None:
    expected = reference(kind, warmup, total)
    assert expected(0) == 0.0
    for step in range(total + 1):
        assert lr_factor(step, kind=kind, warmup=warmup, total=total) == expected(step + 1), step
    assert lr_factor(0, kind=kind, warmup=warmup, total=total) > 0


@pytest.mark.parametrize(
    ("total", "warmup"), [(1, 0), (1, 1), (10, 0), (10, 1), (10, 10), (700, 70), (1000, 333)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_transformers(kind: str, total: int, warmup: int) -> None:
    assert_equal_at_every_step(kind, warmup, total)


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(KINDS), total=st.integers(1, 300), data=st.data())
def test_equals_transformers_for_any_length(kind: str, total: int, data: st.DataObject) -> None:
    assert_equal_at_every_step(kind, data.draw(st.integers(0, total)), total)


def test_factors_step_by_step() -> None:
    """By hand: two steps up to the peak, four down half a cosine, whose middle is one half."""
    factors = [lr_factor(step, kind="cosine", warmup=2, total=6) for step in range(7)]
    half = 2**-0.5
    expected = [1 / 3, 2 / 3, 1, (1 + half) / 2, 0.5, (1 - half) / 2, 0]
    assert factors == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("total", "ratio", "steps"), [(10, 0.1, 1), (11, 0.1, 2), (5, 0.0, 0), (7, 1.0, 7), (1, 0.1, 1)]
)
def test_warmup_steps_are_rounded_up(total: int, ratio: float, steps: int) -> None:
    assert warmup_steps(total, ratio) == steps
