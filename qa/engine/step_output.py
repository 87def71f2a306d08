"""What the training loop yields after every optimizer step."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class StepOutput:
    """What one optimizer step did. The tensors are on the device: reading one is a host sync."""

    global_step: int  # optimizer steps made so far, this one included
    epoch: float  # epochs of data consumed so far
    loss: torch.Tensor  # () mean per item
    grad_norm: torch.Tensor  # () before clipping
    learning_rate: float
    counts: dict[str, int]  # every int of this process's micro-batches, summed: num_items and more
    end_of_epoch: bool
    is_last: bool

    def is_due(self, every: int | str | None) -> bool:
        """Return whether something that is done every N steps, or every "epoch", is due now.

        Everything is due at the last step, so that nothing is left undone; None is never due.
        """
        if every is None:
            return False
        on_time = self.end_of_epoch if every == "epoch" else self.global_step % int(every) == 0
        return on_time or self.is_last
