"""The states of the GPUs' generators: a process's own, wherever a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from qa.engine import load_checkpoint, save_checkpoint, seed_everything
from qa.engine.rng import rng_state, set_rng_state

UseGpus = Callable[[int, set[int]], dict[int, int]]


@pytest.fixture
def use_gpus(monkeypatch: pytest.MonkeyPatch) -> UseGpus:
    """Makes a machine of so many GPUs, of which this process uses some; their generators."""

    def use(count: int, own: set[int]) -> dict[int, int]:
        numbers = dict.fromkeys(range(count), -1)  # the state of each generator

        def set_state(state: torch.Tensor, device: int) -> None:
            assert device in numbers, f"there is no GPU {device}"
            numbers[device] = int(state)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: 512 * (index in own))
        monkeypatch.setattr(torch.cuda, "get_rng_state", lambda index: torch.tensor(numbers[index]))
        monkeypatch.setattr(torch.cuda, "set_rng_state", set_state)
        return numbers

    return use


def saved_by(use_gpus: UseGpus, count: int, own: set[int]) -> dict[str, Any]:
    """The state of a process on a machine where GPU i is at 10 + i."""
    use_gpus(count, own).update({index: 10 + index for index in range(count)})
    return rng_state()


def test_a_process_saves_the_generator_of_its_own_gpu(use_gpus: UseGpus, tmp_path: Path) -> None:
    """The process of LOCAL_RANK 3 has the fourth GPU from torchrun."""
    state = saved_by(use_gpus, 8, {3})
    assert state["cuda"] == {3: torch.tensor(13)}
    path = save_checkpoint(tmp_path, 1, {"rng": state}, {})
    numbers = use_gpus(8, {3})
    set_rng_state(load_checkpoint(path)["rng"])
    assert numbers == {index: 13 if index == 3 else -1 for index in range(8)}


def test_a_training_on_the_cpu_leaves_gpus_alone(use_gpus: UseGpus) -> None:
    assert saved_by(use_gpus, 8, set())["cuda"] == saved_by(use_gpus, 0, set())["cuda"] == []


@pytest.mark.parametrize(
    ("count", "own", "expected"),
    [
        (8, {5}, {5: 15}),
        (1, {0}, {0: 15}),  # it goes on on the only GPU of a smaller machine
        (8, set(), {}),  # or on the CPU
        (0, set(), {}),
    ],
)
def test_going_on_elsewhere(
    use_gpus: UseGpus, count: int, own: set[int], expected: dict[int, int]
) -> None:
    state = saved_by(use_gpus, 8, {5})
    numbers = use_gpus(count, own)
    set_rng_state(state)
    assert {index: number for index, number in numbers.items() if number != -1} == expected


def test_a_model_on_two_gpus(use_gpus: UseGpus) -> None:
    state = saved_by(use_gpus, 4, {1, 2})
    numbers = use_gpus(4, {1, 2, 3})  # an evaluation used another one, too
    set_rng_state(state)
    assert numbers == {0: -1, 1: 11, 2: 12, 3: -1}


@pytest.mark.parametrize(
    ("saved", "count", "own", "expected"),
    [
        (8, 8, {5}, {5: 15}),
        (8, 1, {0}, {0: 10}),  # this raised
        (8, 0, set(), {}),
        (1, 8, {5}, {5: 10}),
        (2, 8, {5}, {}),
        (0, 8, {5}, {}),
    ],
)
def test_older_checkpoints_have_the_states_of_all_gpus(
    use_gpus: UseGpus, saved: int, count: int, own: set[int], expected: dict[int, int]
) -> None:
    state = {**rng_state(), "cuda": [torch.tensor(10 + index) for index in range(saved)]}
    numbers = use_gpus(count, own)
    set_rng_state(state)
    assert {index: number for index, number in numbers.items() if number != -1} == expected


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_this_machine_s_last_gpu_draws_the_same_again() -> None:
    seed_everything(3)
    device = torch.device("cuda", torch.cuda.device_count() - 1)
    weight = torch.ones(4, device=device)
    state = rng_state()
    drawn = weight * torch.rand(4, device=device)
    assert device.index in state["cuda"]
    set_rng_state(state)
    assert torch.equal(weight * torch.rand(4, device=device), drawn)
