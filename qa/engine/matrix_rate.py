"""How fast this machine multiplies matrices: the limit that a training step is compared with."""

from __future__ import annotations

import time

import torch

from qa.engine.precision import AUTOCAST_DTYPES, Precision

CPU_SHAPE = 6144, 768, 768  # a feed-forward product of a BERT-base batch
GPU_SHAPE = 8192, 4096, 4096  # large: a GPU ends the one above before the host starts the next
SECONDS = 0.15  # how long is measured


def matrix_rate(precision: Precision) -> float:
    """Measure the floating point operations per second of a large product in this number format.

    The fastest of as many products as fit into `SECONDS` counts; there is one at least.
    """
    dtype, device = AUTOCAST_DTYPES.get(precision.name, torch.float32), precision.device
    rows, inner, columns = CPU_SHAPE if device.type == "cpu" else GPU_SHAPE
    # Random, since a GPU multiplies constants faster: fewer of its bits change, so it draws less
    # power. By a generator of its own, which leaves the random numbers of the training alone.
    generator = torch.Generator(device).manual_seed(0)
    a = torch.randn(rows, inner, dtype=dtype, device=device, generator=generator)
    b = torch.randn(inner, columns, dtype=dtype, device=device, generator=generator)
    best = float("inf")
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS or best == float("inf"):
        started = time.perf_counter()
        a @ b
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * rows * inner * columns / best
