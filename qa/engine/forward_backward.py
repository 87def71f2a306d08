"""Forward and backward passes of one micro-batch."""

from __future__ import annotations

import torch
from torch import nn

from qa.engine.batch import Batch
from qa.engine.errors import require
from qa.engine.loss_terms import LOSS, LossFn, Sums, loss_and_terms
from qa.engine.phase_clock import PhaseClock
from qa.engine.precision import Precision


def forward_backward(
    model: nn.Module,
    loss_fn: LossFn,
    precision: Precision,
    clock: PhaseClock,
    batch: Batch,
    share: float | torch.Tensor,
) -> Sums:
    """Add a micro-batch's part of the step's gradients; return its loss and terms by name.

    Args:
        model: The model in training mode.
        loss_fn: Returns the sum of the micro-batch's losses, or that and further sums.
        precision: The number format of the matrix products, and the loss scaling it needs.
        clock: Measures the phases "forward" and "backward".
        batch: The micro-batch, on the model's device.
        share: What the summed loss is multiplied by in the gradient; as a tensor () on the device,
            a CUDA graph can be replayed with another one.
    """
    clock.start("forward")
    with precision.autocast():
        losses = loss_and_terms(loss_fn(model, batch))
    clock.start("backward")
    loss = losses[LOSS]
    require(
        loss.requires_grad,
        "the loss depends on no weight that is trained; of a batch without items return a sum over"
        " nothing, which does, or multiply it by 0",
    )
    # Outside autocast, as torch asks. The gradient of the sum is its part of the mean: what
    # `(loss * share).backward()` does too, in two operations more.
    part = share.to(loss.dtype) if isinstance(share, torch.Tensor) else torch.full_like(loss, share)
    loss.backward(precision.scaler.scale(part))
    return losses
