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
LossFn: TypeAlias = Callable[[nn.Module, Batch], torch.Tensor]
"""`loss_fn(model, batch)` returns the SUM of the batch's losses, a scalar tensor."""


class StepResult(NamedTuple):
    """What a step measured; both stay on the device, since reading them there would be a sync."""

    loss: torch.Tensor  # () mean loss per item of the whole step, over all processes
    grad_norm: torch.Tensor  # () before clipping; not finite when fp16 skipped the step


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

    The summed losses are divided by the items of all micro-batches together, so any split of the
    same items, a shorter last one included, gives the gradient of one big batch.

    Args:
        model: In training mode, on the device of `precision`.
        micro_batches: On that device too; each with an int `num_items`, counted on the CPU.
        loss_fn: (model, micro-batch) -> the SUM of its losses, ().
        optimizer: Of the model's parameters; a group's `lr_scale` multiplies the rate.
        precision: Number format and loss scaling.
        learning_rate: Of this step.
        max_grad_norm: The gradient is clipped to it; 0: not clipped.
        num_items: Items of the step over all processes; counted here by default.
        num_own: How many of the micro-batches count, all by default; the rest has weight 0, for a
            process with fewer of its own that must take part in the exchange.
        world: The processes that make this step together.
        clock: Is told of forward, backward and optimizer.
    """
    scaler = precision.scaler
    if num_items is None:
        num_items = sum(batch["num_items"] for batch in micro_batches)
    # At least 1: a step in which every item is ignored has loss 0, not 0/0. DDP averages over the
    # processes, so their number goes in to make a sum of it.
    share = world.size / max(1, num_items)
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
        del loss  # and with it the graph, before the next forward makes another
    clock.start("optimizer")
    scaler.unscale_(optimizer)  # once per step, before anything looks at gradients
    grad_norm = nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm or float("inf"))
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("lr_scale", 1.0)
    scaler.step(optimizer)  # skips itself if fp16 gradients overflowed
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return StepResult(world.sum_tensor(loss_sum) / max(1, num_items), full_tensor(grad_norm))
