"""The micro-batches of a step: which of them a process makes, and how they are loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch.utils.data import DataLoader, Dataset

from qa.engine.data_workers import iterate_batches
from qa.engine.distributed import World
from qa.engine.signals import ignore_stop_signals
from qa.engine.step import Batch


class Items(Protocol):
    """A data set: anything that returns an item for its index, e.g. a list."""

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class StepShare:
    """What one process does in a step: its own micro-batches, then some that count for nothing."""

    batches: list[list[int]]  # item indices of each micro-batch
    num_own: int


def split_step(step: list[list[int]], world: World, sharding: str) -> StepShare:
    """Return the share of this process in a step's micro-batches, which are dealt out in turn.

    The processes exchange gradients, and with FSDP weights too, at fixed points of a micro-batch;
    every process must reach each of them. One with too few micro-batches therefore repeats the
    step's first one, with weight 0. With DDP it does so only if it has none at all, since the
    exchange is in the last backward. With FSDP it does so until it has as many as the others, since
    the exchange is in every layer.

    Args:
        step: The item indices of each micro-batch of the step, of all processes together.
        world: The processes; the n-th one gets every `world.size`-th micro-batch from the n-th on.
        sharding: "none" (DDP, or a single process) or "fsdp".
    """
    own = step[world.rank :: world.size]
    needed = math.ceil(len(step) / world.size) if sharding == "fsdp" else 1
    return StepShare(own + step[:1] * (needed - len(own)), len(own))


def load_batches(
    dataset: Items,
    index_batches: list[list[int]],
    collate_fn: Callable[[list[Any]], Batch],
    device: torch.device,
    num_workers: int,
    seed: int,
) -> Generator[Batch, None, None]:
    """Yield the batch of each list of indices, on the device.

    Args:
        dataset: The items.
        index_batches: The item indices of each batch.
        collate_fn: Makes a batch of the items at one list of indices.
        device: Where the batches' tensors are to be.
        num_workers: Processes that prepare batches ahead of time; 0: this process does, on demand.
        seed: Seeds the random generators of the workers.
    """
    if not index_batches:
        return
    loader = DataLoader(
        cast("Dataset[Any]", dataset),
        batch_sampler=index_batches,
        collate_fn=collate_fn,
        num_workers=num_workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=ignore_stop_signals,
        # Its own generator: otherwise every new loader draws from the global one, which dropout
        # uses, and a resumed run, having made one loader more, would differ.
        generator=torch.Generator().manual_seed(seed),
    )
    for batch in iterate_batches(loader):
        yield move_to_device(batch, device)


def move_to_device(batch: Batch, device: torch.device) -> dict[str, Any]:
    """Copy a batch's tensors to `device`; from pinned memory the copy does not block the host."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }


def sum_counts(micro_batches: Sequence[Batch]) -> dict[str, int]:
    """Add up each int of the batches (`num_items` and others) over the batches."""
    names = [name for name, value in micro_batches[0].items() if type(value) is int]
    return {name: sum(batch[name] for batch in micro_batches) for name in names}
