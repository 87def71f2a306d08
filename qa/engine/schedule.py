"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math


def warmup_steps(total_steps: int, warmup_ratio: float) -> int:
    """Number of warm-up steps, rounded up as transformers does."""
    return math.ceil(total_steps * warmup_ratio)


def lr_factor(step: int, *, kind: str, warmup: int, total: int) -> float:
    """Factor on the peak learning rate for optimizer step `step`, counted from 0.

    It rises linearly from 0 over `warmup` steps, then `kind` is "cosine" (half a period down to 0
    at `total`), "linear" (down to 0 at `total`) or "constant". Equal to transformers'
    `get_cosine_schedule_with_warmup` and its siblings, bit for bit.
    """
    if step < warmup:
        return step / max(1, warmup)
    if kind == "constant":
        return 1.0
    if kind == "linear":
        return max(0.0, (total - step) / max(1, total - warmup))
    progress = (step - warmup) / max(1, total - warmup)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
