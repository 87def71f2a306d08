"""The one place where an optimizer step happens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from qa.engine.batch import Batch, sum_counts
from qa.engine.distributed import (
    SINGLE_PROCESS,
    World,
    full_tensor,
    no_sync,
    require_gradients,
)
from qa.engine.forward_backward import forward_backward
from qa.engine.graphs import StepGraphs
from qa.engine.loss_terms import LOSS, LossFn, add_up
from qa.engine.optim import clear_gradients, owned_parameters, parameters_of
from qa.engine.overflow import scaled_together
from qa.engine.phase_clock import NO_CLOCK, PhaseClock
from qa.engine.precision import Precision


class StepResult(NamedTuple):
    """What a step measured. All stays on the device: reading it here would be a host sync."""

    loss: torch.Tensor  # () mean loss per item of the whole step, over all processes
    grad_norm: torch.Tensor  # () before clipping; not finite if fp16 skipped the step
    terms: dict[str, torch.Tensor]  # () each; means like the loss of what loss_fn returns beside it


def train_step(
    model: nn.Module,
    micro_batches: Sequence[Batch],
    loss_fn: LossFn,
    optimizers: Sequence[torch.optim.Optimizer],
    precision: Precision,
    *,
    max_grad_norm: float,
    num_items: int | None = None,
    num_own: int | None = None,
    world: World = SINGLE_PROCESS,
    clock: PhaseClock = NO_CLOCK,
    graphs: StepGraphs | None = None,
) -> StepResult:
    """Make one optimizer step from one or more micro-batches.

    The loss of the step is the mean over the items of all micro-batches together. Any split of the
    same items, also one with a shorter last micro-batch, therefore gives the gradient of one big
    batch; averaging the means of the micro-batches would not.

    Gradients that others left in the model, e.g. the backward of another model that goes through
    this one, are dropped first, and none is left afterwards, also of what no optimizer has.

    Args:
        model: The model in training mode, on the device of `precision`.
        micro_batches: Batches on that device; their `num_items` are counted on the CPU.
        loss_fn: Returns the sum of a micro-batch's losses, or that and further sums.
        optimizers: The optimizers of the model's parameters, their learning rates set.
        precision: The number format of the matrix products, and the loss scaling it needs.
        max_grad_norm: The norm to which the gradient of all that the optimizers have is clipped; 0
            does not clip.
        num_items: The items of the step over all processes; None counts those given here.
        num_own: How many of the micro-batches count; None: all. The others get weight 0: they let a
            process that has fewer micro-batches of its own take part in the exchange of gradients.
        world: The processes that make this step together.
        clock: Measures the phases "forward", "backward" and "optimizer"; with `graphs` the first
            two are one, "forward_backward".
        graphs: Those of the steps before, of the same model, loss and precision; None: without.

    Raises:
        UserError: A `num_items` is no plain int, `loss_fn` returns no scalar tensor or cannot be a
            graph, or no gradient reaches a weight that processes exchange.
    """
    scaler = precision.scaler
    if num_items is None:
        num_items = sum_counts(micro_batches)["num_items"]
    # `loss * share` is a micro-batch's part of the mean over all items. With several processes DDP
    # and FSDP average the gradients; the factor `world.size` turns that average into a sum.
    share = world.size / max(1, num_items)  # max: a step without any item has loss 0, not 0 / 0
    run = partial(forward_backward, model, loss_fn, precision)
    sums: dict[str, torch.Tensor] = {}
    clear_gradients(parameters_of(optimizers))
    for index, batch in enumerate(micro_batches):
        weight = 1.0 if num_own is None or index < num_own else 0.0
        with no_sync(model, is_last=index == len(micro_batches) - 1):
            if graphs is None:
                losses = run(clock, batch, share * weight)
            else:
                clock.start("forward_backward")
                losses = graphs(partial(run, NO_CLOCK), batch, share * weight)
        sums = add_up(sums, losses, weight)
        del losses  # frees its graph before the next forward builds another
    clock.start("optimizer")
    require_gradients(model)
    stepping = scaled_together(optimizers) if scaler.is_enabled() else optimizers
    for optimizer in stepping:
        scaler.unscale_(optimizer)  # once per step, before anything looks at the gradients
    parameters = list(model.parameters())
    owned = owned_parameters(parameters, optimizers)
    grad_norm = nn.utils.clip_grad_norm_(owned, max_grad_norm or float("inf"))
    for optimizer in stepping:
        scaler.step(optimizer)  # does nothing if a gradient overflowed in fp16
    if stepping:
        scaler.update()
    clear_gradients([*parameters, *owned])
    means = {n: each / max(1, num_items) for n, each in world.sum_scalars(sums).items()}
    return StepResult(means.pop(LOSS), full_tensor(grad_norm), means)
