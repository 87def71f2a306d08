"""What the training loop yields after every optimizer step."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from qa.engine.errors import require


@dataclass(frozen=True)
class StepOutput:
    """What one optimizer step did. The tensors are on the device: reading one is a host sync."""

    global_step: int  # optimizer steps made so far, this one included
    epoch: float  # epochs of data consumed so far; 0 for a stream
    loss: torch.Tensor  # () mean per item
    terms: dict[str, torch.Tensor]  # () each; means per item of what loss_fn returns beside it
    grad_norm: torch.Tensor  # () before clipping
    learning_rate: float  # of the first parameter group; nan if it has none
    counts: dict[str, int]  # every int of this process's micro-batches, summed: num_items and more
    end_of_epoch: bool | None  # None for a stream, where nobody knows
    is_last: bool

    def is_due(self, every: int | str | None) -> bool:
        """Return whether something that is done every N steps, or every "epoch", is due now.

        Everything is due at the last step, so that nothing is left undone; None is never due.

        Raises:
            UserError: "epoch" was asked for in a stream, which has none, or N is no whole number of
                at least 1.
        """
        if every is None:
            return False
        is_number = str(every).isdecimal() and int(every) > 0
        require(
            is_number or every == "epoch",
            f"'epoch' or a whole number of at least 1 says how often something is due, not"
            f" {every!r}",
        )
        is_known = every != "epoch" or self.end_of_epoch is not None
        require(is_known, "a stream has no epochs: say after how many steps something is due")
        on_time = self.end_of_epoch if every == "epoch" else self.global_step % int(every) == 0
        return on_time or self.is_last
