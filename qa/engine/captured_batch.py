"""What of a batch a CUDA graph may read, and what of it makes another graph."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import torch

from qa.engine.batch import Batch
from qa.engine.errors import UserError


class CapturedBatch(Mapping[str, Any]):
    """A batch without what belongs to it alone: its counts and its lists.

    A graph would repeat those of the batch it was recorded with. Reading one is a UserError, also
    by `get`; `in` and iterating know only what is here.
    """

    def __init__(self, batch: Batch) -> None:
        self._values = {name: value for name, value in batch.items() if is_shown(value)}
        self._withheld = batch.keys() - self._values.keys()

    def __getitem__(self, name: str) -> Any:
        if name in self._withheld:
            raise UserError(
                f"loss_fn reads batch[{name!r}], which is no tensor and differs from batch to batch"
                " (a count or a list): a CUDA graph would repeat the first one; put it into a"
                " tensor, or set cuda_graphs to off"
            )
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def shape_of(name: str, value: Any) -> Hashable | None:
    """Return the part of a graph's key that a value of a batch is; None if no graph can have it."""
    if isinstance(value, torch.Tensor):
        if value.is_nested or value.layout != torch.strided:
            return None
        return name, value.dtype, value.shape, value.stride()
    if holds_tensors(value):
        return None
    return name, type(value), value if is_shown(value) else None


def holds_tensors(value: Any) -> bool:
    """Return whether `move_to_device` would move something of a value."""
    if isinstance(value, Mapping):
        return any(map(holds_tensors, value.values()))
    if hasattr(value, "to"):
        return True
    return isinstance(value, list | tuple) and any(map(holds_tensors, value))


def is_shown(value: Any) -> bool:
    """Return whether a value of a batch may be read in a graph: tensors, and parts of its key."""
    if type(value) is int:  # a count, by what the engine asks of a batch
        return False
    try:
        hash(value)
    except TypeError:
        return False
    return True
