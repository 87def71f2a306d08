"""The form of a batch: as few shapes as possible, since each one is compiled, captured or kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from qa.models.packing.segments import ROUND_TOTAL, ROUND_TOTAL_GPU, round_coarsely, round_up


class BatchForm(NamedTuple):
    """What `Collator` is told besides the longest length of a window."""

    pads: bool  # the model computes padding
    round_total: Callable[[int], int] | None  # of the packed tokens; None: they stay as many
    full_width: bool  # all matrices of windows are as wide as the longest window can be


def batch_form(is_packed: bool, device: torch.device, max_length: int, trains: bool) -> BatchForm:
    """Return the form of the batches for a model.

    Training cannot choose what a batch holds; evaluation fills its batches.

    Args:
        is_packed: Whether the model takes packed windows.
        device: Where it is.
        max_length: The longest that a window can be.
        trains: Whether it is trained.
    """
    if not is_packed:
        return BatchForm(True, None, False)
    on_cpu = device.type == "cpu"
    if not trains:
        return BatchForm(False, round_coarsely, not on_cpu)
    # The filler, shorter than a step, must be no longer than a window can be.
    step = ROUND_TOTAL if on_cpu else min(ROUND_TOTAL_GPU, max_length)
    return BatchForm(False, partial(round_up, step=step), not on_cpu)
