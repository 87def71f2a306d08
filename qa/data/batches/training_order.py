"""Which windows an epoch trains on, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qa.engine.batch_order import BATCHES_PER_CHUNK, length_grouped_batches


@dataclass(frozen=True)
class TrainingOrder:
    """An order for `qa.engine`: epoch -> micro-batches of window indices, pure in (seed, epoch).

    Args:
        lengths: (windows,) tokens.
        has_answer: (windows,) bool.
        negative_window_ratio: The share of the windows without an answer that an epoch trains on;
            each epoch draws its own, always the same number.
        batch_size: Windows of a micro-batch.
        seed: Of all epochs.
        groups_lengths: Batch windows of similar length, for a model that pads; otherwise the
            windows are only shuffled.
    """

    lengths: np.ndarray
    has_answer: np.ndarray
    negative_window_ratio: float
    batch_size: int
    seed: int
    groups_lengths: bool = True

    def __call__(self, epoch: int) -> list[list[int]]:
        """Return the micro-batches of `epoch`."""
        negatives = np.flatnonzero(~self.has_answer)
        kept = round(len(negatives) * self.negative_window_ratio)
        # Not the generator that shuffles batches: what is drawn here must not change their order.
        rng = np.random.default_rng([self.seed, epoch, 1])
        chosen = np.sort(rng.permutation(negatives)[:kept])
        indices = np.concatenate((np.flatnonzero(self.has_answer), chosen))
        chunk = BATCHES_PER_CHUNK if self.groups_lengths else 1
        return length_grouped_batches(
            self.lengths,
            self.batch_size,
            seed=self.seed,
            epoch=epoch,
            indices=indices,
            batches_per_chunk=chunk,
        )
