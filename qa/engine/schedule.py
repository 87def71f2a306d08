"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

Schedule: TypeAlias = Callable[[int, int], float]
"""`schedule(step, total)` returns a step's factor of the peak rates, purely; steps count from 0."""


def warmup_steps(total_steps: int, warmup_ratio: float) -> int:
    """Return the number of warm-up steps, rounded up as transformers does."""
    return math.ceil(total_steps * warmup_ratio)


def lr_factor(step: int, total: int, *, kind: str, warmup: int) -> float:
    """Return the factor by which a step multiplies the peak learning rate.

    It rises linearly to 1 at the first step after the warm-up and then follows `kind`. It is that
    of transformers' `get_cosine_schedule_with_warmup` and its siblings, bit for bit, without their
    first step, whose rate is 0: that step would change nothing, and a run of one step would end
    with the model it began with. After the warm-up both are the same.

    Args:
        step: Number of the optimizer step, from 0.
        total: Steps of the whole run.
        kind: "cosine" (half a period, down to 0 at `total`), "linear" (down to 0 at `total`) or
            "constant".
        warmup: Steps of the warm-up.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if kind == "constant":
        return 1.0
    if kind == "linear":
        return max(0.0, (total - step) / max(1, total - warmup))
    progress = (step - warmup) / max(1, total - warmup)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
