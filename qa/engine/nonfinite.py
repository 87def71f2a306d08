"""Finding a loss or a gradient that is nan or infinite, without waiting for the device."""

from __future__ import annotations

import torch

from qa.engine.errors import RunStopped

# The loss scale starts at 2**16 and halves with each skipped step. After 50 of them in a row even a
# gradient near 1e14 would fit into fp16, so the gradient itself must be broken.
MANY_SKIPS = 50


class NonfiniteCheck:
    """Notes, on the device, the first step whose loss or gradient norm was not finite.

    `scales_loss` tells of fp16 with a GradScaler, which skips a step whose gradient overflowed.
    Such steps are counted in `skipped` and are no failure, unless `MANY_SKIPS` come in a row.
    """

    def __init__(self, device: torch.device, scales_loss: bool) -> None:
        self.scales_loss = scales_loss
        self.first_bad_step = torch.full((), -1, dtype=torch.int64, device=device)
        self.bad_loss = torch.zeros((), dtype=torch.bool, device=device)
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self.skipped_in_a_row = torch.zeros((), dtype=torch.int64, device=device)

    def record(self, step: int, loss: torch.Tensor, grad_norm: torch.Tensor) -> None:
        """Note a step, without a host sync.

        Args:
            step: Number of the step, for the message of `check`.
            loss: () on the device.
            grad_norm: () on the device, before clipping.
        """
        loss_is_bad, norm_is_bad = ~torch.isfinite(loss), ~torch.isfinite(grad_norm)
        if self.scales_loss:
            self.skipped = self.skipped + norm_is_bad
            self.skipped_in_a_row = torch.where(norm_is_bad, self.skipped_in_a_row + 1, 0)
            norm_is_bad = self.skipped_in_a_row >= MANY_SKIPS
        is_bad = loss_is_bad | norm_is_bad
        is_first = is_bad & (self.first_bad_step < 0)
        self.bad_loss = torch.where(is_first, loss_is_bad, self.bad_loss)
        began = torch.where(loss_is_bad, step, step - (self.skipped_in_a_row - 1).clamp(min=0))
        self.first_bad_step = torch.where(is_first, began, self.first_bad_step)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the counts of skipped steps."""
        return {"skipped": self.skipped, "skipped_in_a_row": self.skipped_in_a_row}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from saved counts."""
        self.skipped = state["skipped"].to(self.skipped.device)
        self.skipped_in_a_row = state["skipped_in_a_row"].to(self.skipped.device)

    def check(self, learning_rate: float) -> None:
        """Raise RunStopped, naming step and likely cause, if a step was bad; a host sync."""
        step = int(self.first_bad_step)
        if step < 0:
            return
        what = "loss" if self.bad_loss else "gradient norm"
        raise RunStopped(
            f"error: the {what} is not finite since step {step}; the likely cause is a learning"
            f" rate that is too high ({learning_rate:.2e} now) or, in the first steps, broken"
            " weights or labels; the last checkpoint is whole; start a new run with a lower"
            " learning rate, or with precision fp32 to rule out overflow",
            exit_code=1,
        )
