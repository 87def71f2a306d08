"""An fp16 gradient that overflows, where a model has several optimizers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer


def scaled_together(optimizers: Sequence[Optimizer]) -> list[Optimizer]:
    """Return the optimizers that have gradients, an overflow in one made one in all.

    A scaler looks for overflows optimizer by optimizer: one would be skipped and the others step,
    with gradients that were clipped to a norm that is not finite. And it fails at an optimizer
    without any gradient. The host does not wait for the device.

    Args:
        optimizers: Those of one model, before their gradients are unscaled.
    """
    gradients = {each: gradients_of(each) for each in optimizers}
    used = [each for each, own in gradients.items() if own]
    if len(used) > 1:
        norm = get_total_norm([gradient for own in gradients.values() for gradient in own])
        for optimizer in used:
            first = gradients[optimizer][0]
            first.add_(norm.to(first.device) * 0)  # 0, or NaN if the norm is not finite
    return used


def gradients_of(optimizer: Optimizer) -> list[torch.Tensor]:
    """Return the gradients that an optimizer's parameters have."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return [p.grad for p in parameters if p.grad is not None]
