"""Which device a process computes on."""

from __future__ import annotations

import os

import torch

from qa.engine.errors import UserError, short_reason


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is cuda if there is one, then mps, then cpu.

    Raises:
        UserError: This machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    # torch reports an absent device by RuntimeError, or AssertionError in a CPU-only build.
    except (RuntimeError, AssertionError) as error:
        reason = short_reason(str(error))  # a dispatcher's goes on for 7,000 characters
        raise UserError(f"device {name!r} cannot be used ({reason}); try cpu") from error
    return device


def local_device(name: str) -> str:
    """Return the name of this process's device: its own GPU if `name` leaves the choice."""
    if name in ("auto", "cuda") and torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return name
