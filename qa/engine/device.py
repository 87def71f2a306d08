"""Which device a process computes on."""

from __future__ import annotations

import os

import torch

from qa.engine.errors import UserError, short_reason


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is cuda if there is one, then mps, then cpu.

    Under torchrun "auto" and "cuda" are this process's own GPU.

    Raises:
        UserError: This machine has no such device.
    """
    if name == "auto":
        has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        name = "cuda" if has_cuda else "mps" if has_mps else "cpu"
    if name == "cuda" and torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        if device.type == "meta":
            raise RuntimeError("it holds no numbers")
    # torch reports an absent device by RuntimeError, AssertionError in a CPU-only build, or, of
    # one of another package, ImportError.
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = short_reason(str(error))  # a dispatcher's goes on for 7,000 characters
        raise UserError(f"device {name!r} cannot be used ({reason}); try cpu") from error
    return device
