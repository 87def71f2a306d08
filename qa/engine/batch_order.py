"""Order of the items: a pure function of (seed, epoch), so a resume needs only a position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Order: TypeAlias = Callable[[int], list[list[Any]]]
"""`order(epoch)` returns that epoch's micro-batches as lists of item indices: a pure function.

An index is whatever the data set takes for one, e.g. `(item, epoch)` as the key of a random draw.
"""

BATCHES_PER_CHUNK = 64  # wide enough for little padding, narrow enough to mix lengths over time


def length_grouped_batches(
    lengths: np.ndarray,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    indices: np.ndarray | None = None,
    batches_per_chunk: int = BATCHES_PER_CHUNK,
) -> list[list[int]]:
    """Return an epoch's batches of item indices, random but with items of similar length together.

    The items are shuffled, sorted by length within chunks of several batches, and cut into batches,
    which are shuffled in turn. Every item comes exactly once; at most one batch is smaller than
    `batch_size`.

    Args:
        lengths: (items,) int, the length of each item in tokens.
        batch_size: Items in a batch.
        seed: Seed of the shuffling, together with `epoch`.
        epoch: Number of the epoch, from 0.
        indices: (n,) int, the items of this epoch; None: all of them.
        batches_per_chunk: Batches' worth of items that are sorted together; 1 gives a plain
            shuffle.
    """
    rng = np.random.default_rng([seed, epoch])
    indices = np.arange(len(lengths)) if indices is None else indices
    shuffled = rng.permutation(indices)
    lengths = np.asarray(lengths)
    chunk_size = batch_size * batches_per_chunk
    batches: list[list[int]] = []
    for chunk_start in range(0, len(shuffled), chunk_size):
        chunk = shuffled[chunk_start : chunk_start + chunk_size]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [chunk[i : i + batch_size].tolist() for i in range(0, len(chunk), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
