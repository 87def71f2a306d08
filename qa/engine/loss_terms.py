"""What `loss_fn` returns: a summed loss and, if it likes, the summed terms that it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import nn

from qa.engine.batch import Batch
from qa.engine.errors import require, type_name

LossFn: TypeAlias = Callable[
    [nn.Module, Batch], "torch.Tensor | tuple[torch.Tensor, Mapping[str, torch.Tensor]]"
]
"""`loss_fn(model, batch)` returns the SUM of the batch's losses, a scalar tensor.

It may return `(loss, terms)`, where terms are further sums by name, to be looked at only.
"""

LOSS = "loss"  # the key of the loss among the sums; terms have others


def loss_and_terms(returned: Any) -> dict[str, torch.Tensor]:
    """Return what `loss_fn` returned as sums by name, the loss first, under `LOSS`.

    Raises:
        UserError: It is neither a scalar tensor nor such a tensor and a dict of others.
    """
    loss, terms = returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, {})
    require(
        isinstance(terms, Mapping) and LOSS not in terms,
        f"loss_fn must return a loss, or a loss and a dict of terms, none of them named {LOSS!r}",
    )
    sums = {LOSS: loss, **terms}
    for name, value in sums.items():
        if not isinstance(value, torch.Tensor) or value.ndim:
            is_tensor = isinstance(value, torch.Tensor)
            told = f"of shape {tuple(value.shape)}" if is_tensor else type_name(value)
            require(
                False,
                f"loss_fn must return the sum over the items of a batch, a scalar tensor, but its"
                f" {name} is {told}; try check_split(run, items)",
            )
    return sums


def add_up(
    sums: dict[str, torch.Tensor], more: Mapping[str, torch.Tensor], weight: float
) -> dict[str, torch.Tensor]:
    """Return the sums, {} at first, with those of one more micro-batch added, cut off its graph.

    Sums in bf16 or fp16 would lose small addends, so these are of fp32 at least.

    Raises:
        UserError: The names are others than before. Processes could not exchange such terms.
    """
    require(
        not sums or sums.keys() == more.keys(),
        f"loss_fn must return the same terms for every batch, not {', '.join(more)} after"
        f" {', '.join(sums)}",
    )
    total = {}
    for name, value in more.items():
        value = value.detach()
        if value.dtype.itemsize < 4:
            value = value.float()
        if weight != 1:
            value = value * weight
        total[name] = sums[name] + value if sums else value
    return total
