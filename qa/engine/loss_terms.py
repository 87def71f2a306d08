"""What `loss_fn` returns: a summed loss and, if it likes, further sums, the terms of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import nn

from qa.engine.batch import Batch
from qa.engine.errors import UserError, type_name

Sums: TypeAlias = dict[str, torch.Tensor]

LossFn: TypeAlias = Callable[[nn.Module, Batch], "torch.Tensor | tuple[torch.Tensor, Sums]"]
"""`loss_fn(model, batch)` returns the SUM of the batch's losses, a scalar tensor.

It may return `(loss, terms)`, where terms are further sums by name, to be looked at only.
"""

LOSS = "the loss"  # its key among the sums; the terms have theirs, e.g. "loss"


def loss_and_terms(returned: Any) -> Sums:
    """Return what `loss_fn` returned as sums by name, the loss under `LOSS`, or raise UserError."""
    loss, terms = returned if type(returned) is tuple and len(returned) == 2 else (returned, {})
    sums = {LOSS: loss, **terms} if isinstance(terms, Mapping) else {LOSS: returned}
    for name, value in sums.items():
        if not isinstance(value, torch.Tensor) or value.ndim:
            shape = f" of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else ""
            raise UserError(
                "loss_fn must return sums over the items of a batch, scalar tensors: a loss, or a"
                f" loss and a dict of terms; {name} is {type_name(value)}{shape}; try"
                " check_split(run, items)"
            )
    return sums


def add_up(sums: Sums, more: Sums, weight: float) -> Sums:
    """Return the sums, {} at first, with those of another micro-batch, cut off its graph.

    In fp32 at least: a sum in bf16 would lose small addends. UserError if the names have changed.
    """
    if sums and sums.keys() != more.keys():
        now, before = ([name for name in names if name != LOSS] for names in (more, sums))
        raise UserError(f"loss_fn returned the terms {now} after {before}, not always the same")
    total = {}
    for name, value in more.items():
        value = value.detach() if weight == 1 else value.detach() * weight
        value = value.float() if value.dtype.itemsize < 4 else value
        total[name] = sums[name] + value if sums else value
    return total
