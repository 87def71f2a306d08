"""How fast this machine multiplies matrices: the limit that a training step is compared with."""

from __future__ import annotations

import time

import torch

from qa.engine.precision import AUTOCAST_DTYPES

ROWS, INNER, COLUMNS = 6144, 768, 768  # a feed-forward product of a BERT-base batch
SECONDS = 0.15


def matrix_rate(device: torch.device, precision: str) -> float:
    """Floating point operations per second of a large product in this number format.

    The best of as many as fit into about 0.15 s.
    """
    dtype = AUTOCAST_DTYPES.get(precision, torch.float32)
    # Filled, not drawn: the generators belong to the training.
    a = torch.full((ROWS, INNER), 0.5, dtype=dtype, device=device)
    b = torch.full((INNER, COLUMNS), 0.5, dtype=dtype, device=device)
    best = float("inf")
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        started = time.perf_counter()
        a @ b
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * ROWS * INNER * COLUMNS / best
