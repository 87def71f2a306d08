"""A batch: what the engine asks of it, what it counts, and its way to the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch.nn.utils.rnn import PackedSequence

from qa.engine.errors import UserError, require, type_name

Batch: TypeAlias = Mapping[str, Any]
"""Tensors and ints by name; the int `num_items` is the number of items that have a loss."""


def sum_counts(micro_batches: Sequence[Batch]) -> dict[str, int]:
    """Add up each int of the batches (`num_items` and others) over the batches.

    Raises:
        UserError: A batch is no mapping, or its `num_items` is no plain int of at least 0.
    """
    counts: dict[str, int] = {}
    for batch in micro_batches:
        require_num_items(batch)
        for name, value in batch.items():
            if type(value) is int:
                counts[name] = counts.get(name, 0) + value
    return counts


def require_num_items(batch: Any) -> None:
    """Raise UserError unless the batch is a mapping with a plain int `num_items` of at least 0."""
    require(
        isinstance(batch, Mapping),
        f"a batch must be a dict of tensors and the int num_items, but is {type_name(batch)}",
    )
    found = batch.get("num_items", "missing")
    if type(found) is not int or found < 0:
        told = found if type(found) in (int, str) else type_name(found)
        raise UserError(
            'batch["num_items"], the number of items that have a loss, must be a plain int of at'
            f" least 0, but is {told}: count them when the batch is made, e.g. by len(items) or"
            " int(...), and try check_split(run, items)"
        )


def move_to_device(value: Any, device: torch.device) -> Any:
    """Return a batch with its tensors on `device`, also those in dicts, lists and tuples in it.

    From pinned memory the copy does not block the host.
    """
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, PackedSequence):  # a namedtuple, of which a part stays on the CPU
        return cast(Any, value).to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {name: move_to_device(item, device) for name, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a namedtuple
        return type(value)(*(move_to_device(item, device) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(move_to_device(item, device) for item in value)
    return value
