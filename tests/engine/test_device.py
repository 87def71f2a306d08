"""Which device a process gets; torch's answers about GPUs are set, so no GPU is needed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from qa.engine import UserError, resolve_device


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch says that there are GPUs, and makes an empty tensor on each as on the CPU."""
    real_empty = torch.empty

    def empty(size: int, device: Any) -> torch.Tensor:
        assert torch.device(device).index in (None, 0, 1, 2, 3)
        return real_empty(size)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", empty)


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(
    ("name", "rank", "device"),
    [
        ("auto", None, "cuda"),
        ("cuda", None, "cuda"),
        ("auto", "3", "cuda:3"),
        ("cuda", "3", "cuda:3"),
        ("cuda:1", "3", "cuda:1"),
        ("cpu", "3", "cpu"),
    ],
)
def test_a_process_of_torchrun_gets_its_own_gpu(
    name: str, rank: str | None, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert resolve_device(name) == torch.device(device)


def test_without_gpus_the_processes_share_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert resolve_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["meta", "hpu", "privateuseone", "gpu"])
def test_a_device_that_cannot_compute_here_is_one_line(name: str) -> None:
    """Some of them are names that torch itself tells, of packages that are not here."""
    with pytest.raises(UserError, match=f"device '{name}' cannot be used"):
        resolve_device(name)
