"""What other libraries' errors become in a message: short, and out of memory known as such."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from qa.engine import UserError
from qa.engine.device import resolve_device
from qa.engine.errors import out_of_memory, short_reason


def raise_as_torch_does_on_cuda() -> None:
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of"
        " which 1.20 GiB is free. Including non-PyTorch memory, this process has 77.90 GiB memory"
        " in use. Of the allocated memory 70.00 GiB is allocated by PyTorch"
    )


def raise_as_a_data_worker_does() -> None:
    raise RuntimeError(
        "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent call"
        " last):\n  File x\nRuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0."
        " DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.\n"
    )


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        (lambda: torch.empty(2**50, dtype=torch.uint8), "DefaultCPUAllocator: can't allocate"),
        (lambda: np.empty(2**50), "Unable to allocate 8.00 PiB"),
        (lambda: bytearray(2**60), "MemoryError"),
        (raise_as_torch_does_on_cuda, "CUDA out of memory. Tried to allocate 2.00 GiB"),
        (raise_as_a_data_worker_does, "DefaultCPUAllocator: can't allocate"),
    ],
    ids=["torch on a CPU", "numpy", "Python", "torch on CUDA", "a data worker"],
)
def test_out_of_memory_is_known(fail: Callable[[], object], said: str) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as error:
        fail()
    reason = out_of_memory(error.value)
    assert reason is not None
    assert reason.startswith(said)
    assert len(reason) <= 160
    assert "\n" not in reason


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes"), ValueError("out of memory"), OSError(12), None]
)
def test_other_errors_are_not(error: BaseException | None) -> None:
    assert out_of_memory(error) is None


def test_the_first_sentence_is_the_reason() -> None:
    assert short_reason("No such thing 1.5. Try another.\nMore") == "No such thing 1.5"
    assert short_reason("") == ""
    assert short_reason("x" * 200) == "x" * 156 + " ..."
    assert short_reason("a word " * 40) == "a word " * 22 + "a ..."


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an MPS device")
def test_an_absent_device_is_one_short_line() -> None:
    with pytest.raises(UserError) as error:
        resolve_device("mps")
    assert str(error.value) == (
        "device 'mps' cannot be used (Could not run 'aten::empty.memory_format' with arguments"
        " from the 'MPS' backend); try cpu"
    )
