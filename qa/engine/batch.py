"""A batch: what the engine asks of it, what it counts, and its way to the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch

from qa.engine.errors import require, type_name

Batch: TypeAlias = Mapping[str, Any]
"""Tensors and ints by name; the int `num_items` is the number of items that have a loss."""


def sum_counts(micro_batches: Sequence[Batch]) -> dict[str, int]:
    """Add up each int of the batches (`num_items` and others) over the batches.

    Raises:
        UserError: A batch is no mapping, or its `num_items` is no plain int of at least 0.
    """
    counts: dict[str, int] = {}
    for batch in micro_batches:
        require(
            isinstance(batch, Mapping),
            f"a batch must be a dict of tensors and the int num_items, but is {type_name(batch)}",
        )
        found = batch.get("num_items", "missing")
        require(
            type(found) is int and found >= 0,
            'batch["num_items"], the number of items that have a loss, must be a plain int of at'
            f" least 0, but is {found if type(found) in (int, str) else type_name(found)}: count"
            " them when the batch is made, e.g. by len(items) or int(...), and try"
            " check_split(run, items)",
        )
        for name, value in batch.items():
            if type(value) is int:
                counts[name] = counts.get(name, 0) + value
    return counts


def move_to_device(value: Any, device: torch.device, copies: bool = False) -> Any:
    """Return a batch with its tensors on `device`, also those in dicts, lists and tuples in it.

    From pinned memory the copy does not block the host. With `copies` tensors that are there
    already are copied, too.
    """
    if isinstance(value, Mapping):
        return {name: move_to_device(item, device, copies) for name, item in value.items()}
    if hasattr(value, "to"):  # a tensor, or a thing of several, e.g. a PackedSequence
        # Elsewhere memory that is not pinned may be read when it is another's already: on MPS
        # (pytorch issue 189690).
        moved = value.to(device, non_blocking=device.type == "cuda")
        return moved.clone() if copies and moved is value and torch.is_tensor(value) else moved
    if isinstance(value, list | tuple):
        moved = [move_to_device(item, device, copies) for item in value]
        return value._make(moved) if hasattr(value, "_make") else type(value)(moved)
    return value
