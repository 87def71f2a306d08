"""What both contestants do alike."""

from __future__ import annotations

import torch

LEARNING_RATE = 5e-5


def wait_for(device: str) -> None:
    """Let a CUDA device finish what it was given, before the clock is read."""
    if device == "cuda":
        torch.cuda.synchronize()
