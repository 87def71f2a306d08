"""The one place where an optimizer step happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import nn

from qa.engine.distributed import SINGLE_PROCESS, World, full_tensor, no_sync
from qa.engine.phase_clock import NO_CLOCK, PhaseClock
from qa.engine.precision import Precision

Batch: TypeAlias = Mapping[str, Any]
"""Tensors and ints by name; the int `num_items` is the number of items that have a loss."""

LossFn: TypeAlias = Callable[[nn.Module, Batch], torch.Tensor]
"""`loss_fn(model, batch)` returns the SUM of the batch's losses, a scalar tensor."""


class StepResult(NamedTuple):
    """What a step measured. Both stay on the device: reading them here would be a host sync."""

    loss: torch.Tensor  # () mean loss per item of the whole step, over all processes
    grad_norm: torch.Tensor  # () before clipping; not finite if fp16 skipped the step


def train_step(
    model: nn.Module,
    micro_batches: Sequence[Batch],
    loss_fn: LossFn,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    *,
    learning_rate: float,
    max_grad_norm: float,
    num_items: int | None = None,
    num_own: int | None = None,
    world: World = SINGLE_PROCESS,
    clock: PhaseClock = NO_CLOCK,
) -> StepResult:
    """Make one optimizer step from one or more micro-batches.

    The loss of the step is the mean over the items of all micro-batches together. Any split of the
    same items, also one with a shorter last micro-batch, therefore gives the gradient of one big
    batch; averaging the means of the micro-batches would not.

    Args:
        model: The model in training mode, on the device of `precision`.
        micro_batches: Batches on that device; their `num_items` are counted on the CPU.
        loss_fn: Returns the sum of a micro-batch's losses.
        optimizer: The optimizer of the model's parameters; the `lr_scale` of a parameter group, if
            it has one, multiplies the learning rate of that group.
        precision: The number format of the matrix products, and the loss scaling it needs.
        learning_rate: The learning rate of this step.
        max_grad_norm: The norm to which the gradient is clipped; 0 does not clip.
        num_items: The items of the step over all processes; None counts those given here.
        num_own: How many of the micro-batches count; None: all. The others get weight 0: they let a
            process that has fewer micro-batches of its own take part in the exchange of gradients.
        world: The processes that make this step together.
        clock: Measures the phases "forward", "backward" and "optimizer".
    """
    scaler = precision.scaler
    if num_items is None:
        num_items = sum(batch["num_items"] for batch in micro_batches)
    # `loss * share` is a micro-batch's part of the mean over all items. With several processes DDP
    # and FSDP average the gradients; the factor `world.size` turns that average into a sum.
    share = world.size / max(1, num_items)  # max: a step without any item has loss 0, not 0 / 0
    loss_sum = torch.zeros((), device=precision.device)
    for index, batch in enumerate(micro_batches):
        weight = 1.0 if num_own is None or index < num_own else 0.0
        with no_sync(model, is_last=index == len(micro_batches) - 1):
            clock.start("forward")
            with precision.autocast():
                loss = loss_fn(model, batch)
            clock.start("backward")
            scaler.scale(loss * (share * weight)).backward()  # outside autocast, as torch asks
        loss_sum = loss_sum + loss.detach() * weight
        del loss  # frees its graph before the next forward builds another
    clock.start("optimizer")
    scaler.unscale_(optimizer)  # once per step, before anything looks at the gradients
    grad_norm = nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm or float("inf"))
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("lr_scale", 1.0)
    scaler.step(optimizer)  # does nothing if a gradient overflowed in fp16
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return StepResult(world.sum_tensor(loss_sum) / max(1, num_items), full_tensor(grad_norm))
