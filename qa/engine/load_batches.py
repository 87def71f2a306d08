"""Loading the batches of an epoch, on demand or ahead of time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, Dataset

from qa.engine.batch import Batch, move_to_device
from qa.engine.data_workers import iterate_batches
from qa.engine.signals import ignore_stop_signals


def load_batches(
    dataset: Any,
    index_batches: list[list[Any]],
    collate_fn: Callable[[list[Any]], Batch] | None,
    device: torch.device,
    num_workers: int,
    seed: int,
) -> Generator[Batch, None, None]:
    """Yield the batch of each list of indices, on the device.

    Args:
        dataset: The items, by index.
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
