"""Deterministic kernels: switched on for the work of a run, and only for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from support.regression import make_run, squared_error
from torch import nn

from qa.engine import UserError
from qa.engine.determinism import deterministic_kernels, fix_cublas_workspace
from qa.engine.run_differences import state_differences

pytestmark = pytest.mark.usefixtures("one_thread", "own_environment")

CPU, CUDA = torch.device("cpu"), torch.device("cuda")  # whose name alone is asked for
CUBLAS = (  # what torch says
    "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or"
    " `at::Context::setDeterministicAlgorithms(true)`, but this operation is not deterministic"
    " because it uses CuBLAS and you have CUDA >= 10.2. To enable deterministic behavior in this"
    " case, you must set an environment variable before running your PyTorch application:"
    " CUBLAS_WORKSPACE_CONFIG=:4096:8 or CUBLAS_WORKSPACE_CONFIG=:16:8."
)
MEMORY: Any = torch.utils.deterministic


def switches() -> tuple[bool, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        MEMORY.fill_uninitialized_memory,
    )


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No workspace is set, and torch's switches are put back."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is put back afterwards
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False


@pytest.mark.parametrize("was_on", [False, True])
def test_torchs_switches_are_put_back(was_on: bool) -> None:
    torch.use_deterministic_algorithms(was_on, warn_only=was_on)
    torch.backends.cudnn.benchmark = True
    before = switches()
    with deterministic_kernels(True, CUDA):
        assert switches() == (True, False, False, False)
    assert switches() == before
    with pytest.raises(ZeroDivisionError), deterministic_kernels(True, CUDA):
        _ = 1 / 0
    assert switches() == before


@pytest.mark.parametrize(("is_wanted", "device"), [(False, CUDA), (True, CPU)])
def test_nothing_changes_where_it_is_not_wanted_or_not_needed(
    is_wanted: bool, device: torch.device
) -> None:
    before = switches()
    with deterministic_kernels(is_wanted, device):
        assert switches() == before


def test_an_operation_without_such_a_kernel_is_named_in_one_line() -> None:
    index = torch.tensor([0, 0])
    with (
        pytest.raises(UserError, match=r"deterministic: put_ has no deterministic kernel") as error,
        deterministic_kernels(True, CUDA),
    ):
        torch.zeros(3).put_(index, torch.ones(2))
    assert "\n" not in str(error.value)


def test_a_product_that_came_too_early_names_the_variable() -> None:
    with (
        pytest.raises(UserError, match="set CUBLAS_WORKSPACE_CONFIG=:4096:8 in the environment"),
        deterministic_kernels(True, CUDA),
    ):
        raise RuntimeError(CUBLAS)


def test_other_errors_stay_as_they_are() -> None:
    with (
        pytest.raises(RuntimeError, match="^something deterministic$"),
        deterministic_kernels(True, CUDA),
    ):
        raise RuntimeError("something deterministic")


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, ":4096:8"), (":16:8", ":16:8"), (":4096:8", ":4096:8"), (":0:0", ":4096:8")],
)
def test_a_workspace_that_will_do_is_kept(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given is not None:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", given)
    fix_cublas_workspace()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == expected


def test_the_workspace_is_set_before_the_first_step() -> None:
    make_run()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    make_run(deterministic=True)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_steps_and_evaluations_are_in_it_and_the_body_of_the_loop_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside: list[tuple[bool, str]] = []

    @contextmanager
    def noted(is_wanted: bool, device: torch.device) -> Iterator[None]:
        inside.append((is_wanted, device.type))
        yield
        inside.pop()

    seen = []

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        seen.extend(inside)
        return squared_error(model, batch)

    monkeypatch.setattr("qa.engine.loop.deterministic_kernels", noted)
    run = make_run(deterministic=True, max_steps=3)
    run.loss_fn = loss_fn
    for _ in run.steps():
        assert inside == []
        with run.evaluation():
            assert inside == [(True, "cpu")]
    assert seen == [(True, "cpu")] * 3


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_cpu_the_numbers_are_the_same(precision: str) -> None:
    states = []
    for deterministic in (False, True):
        run = make_run(deterministic=deterministic, precision=precision)
        list(run.steps())
        states.append(run.state_dict())
    assert list(state_differences(states[0], states[1], "run")) == []
