"""Losses and gradients that are not finite: found by their step, without waiting for the device."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytest
import torch

from qa.engine.errors import RunStopped
from qa.engine.nonfinite import MANY_SKIPS, NonfiniteCheck

CPU = torch.device("cpu")
BAD = [math.nan, math.inf, -math.inf]


def check_of(
    pairs: Iterable[tuple[float, float]], scales_loss: bool = False, first: int = 1
) -> NonfiniteCheck:
    """A check that has recorded (loss, gradient norm) pairs of the steps from `first` on."""
    check = NonfiniteCheck(CPU, scales_loss)
    for step, (loss, norm) in enumerate(pairs, start=first):
        check.record(step, torch.tensor(loss), torch.tensor(norm))
    return check


def stopped(check: NonfiniteCheck) -> str:
    with pytest.raises(RunStopped) as error:
        check.check(0.25)
    assert error.value.exit_code == 1
    message = str(error.value)
    assert message.startswith("error: ")
    assert "\n" not in message
    assert "2.50e-01" in message
    return message


def test_a_healthy_run_goes_on() -> None:
    check = check_of([(1.0, 2.0), (0.0, 0.0), (-3e38, 3e38)])
    check.check(0.1)
    assert int(check.skipped) == 0
    NonfiniteCheck(CPU, False).check(0.1)  # nothing added


@pytest.mark.parametrize("bad", BAD)
def test_the_step_at_which_it_began_is_named_though_looked_at_later(bad: float) -> None:
    good = (1.0, 1.0)
    check = check_of([good, good, (bad, 1.0), good, (math.nan, math.nan), good], first=101)
    assert "the loss is not finite since step 103;" in stopped(check)


@pytest.mark.parametrize("bad", BAD)
def test_a_gradient_norm_is_told_from_a_loss(bad: float) -> None:
    check = check_of([(1.0, 1.0), (1.0, bad), (math.nan, math.nan)])
    assert "the gradient norm is not finite since step 2;" in stopped(check)
    both = check_of([(1.0, 1.0), (bad, bad)])
    assert "the loss is not finite since step 2;" in stopped(both)


def test_a_second_check_raises_again() -> None:
    check = check_of([(math.nan, 1.0)])
    assert stopped(check) == stopped(check)


def test_step_0_counts() -> None:
    assert "since step 0;" in stopped(check_of([(math.nan, 1.0), (math.nan, 1.0)], first=0))


@pytest.mark.parametrize("bad", BAD)
def test_with_loss_scaling_a_bad_norm_is_a_skipped_step(bad: float) -> None:
    check = check_of([(1.0, bad), (1.0, 1.0), (1.0, bad)], scales_loss=True)
    check.check(0.1)
    assert int(check.skipped) == 2


def test_with_loss_scaling_a_bad_loss_ends_the_run() -> None:
    check = check_of([(1.0, math.inf), (math.nan, math.nan)], scales_loss=True)
    assert "the loss is not finite since step 2;" in stopped(check)


def test_with_loss_scaling_skips_without_end_end_the_run() -> None:
    bad = (1.0, math.nan)
    check_of([(1.0, 1.0), *[bad] * (MANY_SKIPS - 1), (1.0, 1.0), bad], scales_loss=True).check(0.1)
    check = check_of([(1.0, 1.0)] * 3 + [bad] * (MANY_SKIPS + 5), scales_loss=True)
    assert "the gradient norm is not finite since step 4;" in stopped(check)


def test_without_loss_scaling_nothing_is_skipped() -> None:
    check = check_of([(1.0, math.inf)])
    assert int(check.skipped) == 0


def test_the_count_survives_a_checkpoint() -> None:
    first = check_of([(1.0, math.inf)] * 3, scales_loss=True)
    second = NonfiniteCheck(CPU, scales_loss=True)
    second.load_state_dict(first.state_dict())
    second.record(4, torch.tensor(1.0), torch.tensor(math.nan))
    assert (int(second.skipped), int(first.skipped)) == (4, 3)
    second.check(0.1)


def forbid_host_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make everything raise that would let the host wait for a tensor's value."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("host sync")

    for name in ("__bool__", "__int__", "__float__", "__index__", "item", "tolist", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, refuse)


@pytest.mark.parametrize("scales_loss", [False, True])
def test_adding_reads_no_tensor(scales_loss: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    check = NonfiniteCheck(CPU, scales_loss)
    loss, norm = torch.tensor(math.nan), torch.tensor(math.inf)
    with monkeypatch.context() as patch:
        forbid_host_syncs(patch)
        for step in range(1, 4):
            check.record(step, loss, norm)
        check.state_dict()
        with pytest.raises(AssertionError, match="host sync"):  # so the patch works
            check.check(0.1)
    assert "since step 1;" in stopped(check)


@pytest.mark.cuda
def test_adding_makes_no_sync_on_a_gpu() -> None:
    device = torch.device("cuda")
    check = NonfiniteCheck(device, scales_loss=False)
    loss, norm = torch.tensor(math.nan, device=device), torch.tensor(1.0, device=device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        check.record(7, loss, norm)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert "since step 7;" in stopped(check)
