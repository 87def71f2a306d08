"""A check of the contract that makes accumulation exact: losses and counts of items add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from qa.engine.batch import sum_counts
from qa.engine.errors import UserError, require
from qa.engine.loop import TrainingRun
from qa.engine.loss_terms import LOSS, loss_and_terms
from qa.engine.rng import seed_everything

COUNT = "the num_items"


def check_split(run: TrainingRun, items: Sequence[Any], tolerance: float = 1e-3) -> None:
    """Check that the loss of a batch of these items is the sum of the losses of its halves.

    So must be `num_items` and every term, or UserError gives the figures. This finds a mean, a
    wrong count, and a loss that couples items, e.g. by in-batch negatives; not one that does so by
    batch statistics, since the model runs in eval mode. It changes nothing, and runs in fp32, or in
    the training's number format if weights are held in less.

    Args:
        run: The run; all processes of a sharded one must call this.
        items: At least two items of its data set, e.g. 16 of them.
        tolerance: Relative difference that rounding may make; weights in bf16 need more.
    """
    collate_fn = run.micro_batches.collate_fn
    if collate_fn is None:
        raise UserError("check_split needs a collate_fn, which a stream does not have")
    require(len(items) > 1, f"check_split needs two items or more, not {len(items)}")
    middle = len(items) // 2
    is_low = any(p.is_floating_point() and p.dtype.itemsize < 4 for p in run.model.parameters())
    found = []
    with run.evaluation() as model, torch.enable_grad():  # a loss may penalise gradients
        for parts in ((items,), (items[:middle], items[middle:])):
            seed_everything(run.config.seed)  # a collate_fn that draws draws the same again
            for batch in [run.to_device(collate_fn(list(part))) for part in parts]:
                counts = sum_counts([batch])
                casts = torch.autocast(run.device.type, enabled=False)
                with nullcontext() if is_low else casts:
                    sums = loss_and_terms(run.loss_fn(model, batch))
                values = {name: float(value.detach()) for name, value in sums.items()}
                found.append({COUNT: counts["num_items"], **values})
    whole, first, second = found
    require(
        whole.keys() == first.keys() == second.keys(),
        f"loss_fn returned the terms {terms(whole)} of a batch, {terms(first)} and {terms(second)}"
        " of its halves; they must always be the same, e.g. 0 * loss for what a batch has not",
    )
    for name, value in whole.items():
        a, b = first[name], second[name]
        cause = "a mean?" if min(a, b) <= value <= max(a, b) else "are the items independent?"
        require(
            abs(a + b - value) <= tolerance * max(abs(a), abs(b), abs(value)),
            f"{name} of a batch is {value:.6g}, of its halves {a:.6g} + {b:.6g} ({cause});"
            " loss_fn must return sums over items, each of which does not depend on the others of"
            " its batch, and num_items count them, or accumulation changes what is learned",
        )


def terms(found: Mapping[str, float]) -> list[str]:
    """Return the names of the terms among a batch's sums and its count."""
    return [name for name in found if name not in (COUNT, LOSS)]
