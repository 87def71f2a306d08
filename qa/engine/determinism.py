"""Kernels that give the same bits every time, on CUDA."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from qa.engine.errors import UserError, short_reason

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
FIXED_WORKSPACES = (":4096:8", ":16:8")  # with which torch calls cuBLAS deterministic


def fix_cublas_workspace() -> None:
    """Set the variable with which matrix products are deterministic, unless it is set so.

    It counts only if it is set before the first product of the process on CUDA.
    """
    if os.environ.get(WORKSPACE) not in FIXED_WORKSPACES:
        os.environ[WORKSPACE] = FIXED_WORKSPACES[0]


@contextmanager
def deterministic_kernels(is_wanted: bool, device: torch.device) -> Iterator[None]:
    """Let torch take deterministic kernels only, if wanted; afterwards its switches are as before.

    On a CPU nothing changes: there the engine's runs are exact anyhow, and switching on would first
    import a compiler, for seconds.

    Raises:
        UserError: An operation has no deterministic kernel.
    """
    if not is_wanted or device.type == "cpu":
        yield
        return
    was_on = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    tuned = torch.backends.cudnn.benchmark
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    try:
        # Not warn_only, which leaves the backward of flash attention as it is.
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        # Costs a pass over memory, and changes only what reads memory that nobody wrote.
        memory.fill_uninitialized_memory = False
        yield
    except RuntimeError as error:
        if "is not deterministic because it uses CuBLAS" in str(error):
            raise UserError(
                "deterministic: a matrix product was made on CUDA before the run; set"
                f" {WORKSPACE}={FIXED_WORKSPACES[0]} in the environment of the program"
            ) from error
        operation, found, _ = str(error).partition(" does not have a deterministic implementation")
        if not found:
            raise
        raise UserError(
            f"deterministic: {short_reason(operation)} has no deterministic kernel in torch"
            f" {torch.__version__}; train without deterministic, or with another model or loss"
        ) from error
    finally:
        torch.use_deterministic_algorithms(was_on, warn_only=only_warned)
        torch.backends.cudnn.benchmark = tuned
        memory.fill_uninitialized_memory = filled
