"""Order of the items: a pure function of (seed, epoch), so a position is all a resume needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Order: TypeAlias = Callable[[int], list[list[int]]]
"""`order(epoch)` returns that epoch's micro-batches as lists of item indices."""

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
    """Shuffle, sort by length within chunks, cut into batches, shuffle the batches.

    lengths: (items,) token counts. indices: the items of this epoch, all by default.
    batches_per_chunk: 1 gives a plain shuffle. Every item comes exactly once; at most one batch is
    smaller than `batch_size`.
    """
    rng = np.random.default_rng([seed, epoch])
    indices = np.arange(len(lengths)) if indices is None else indices
    shuffled = rng.permutation(indices)
    chunk_size = batch_size * batches_per_chunk
    batches: list[list[int]] = []
    for chunk_start in range(0, len(shuffled), chunk_size):
        chunk = shuffled[chunk_start : chunk_start + chunk_size]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [chunk[i : i + batch_size].tolist() for i in range(0, len(chunk), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
