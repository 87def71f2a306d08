"""Dropout for CPUs that draws one random byte for an element.

torch draws dropout masks on a CPU with one serial Bernoulli trial per element, which takes longer
than the matrix products around it. Here the same generator fills whole words, and a byte is dropped
if it is below a threshold. Probabilities are therefore multiples of 1/256 (0.1 becomes 26/256, i.e.
0.1016), and what is kept is scaled by exactly that, so that the mean is right.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

BYTE_VALUES = 256
INT_TYPES = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def byte_threshold(p: float) -> int:
    """How many of the 256 values of a byte mean "dropped"; at least one value stays kept."""
    return min(round(p * BYTE_VALUES), BYTE_VALUES - 1)


def keep_scale(p: float) -> float:
    """What kept elements are multiplied by."""
    return BYTE_VALUES / (BYTE_VALUES - byte_threshold(p))


def draw_signs(num_elements: int, p: float, dtype: torch.dtype) -> torch.Tensor:
    """(num_elements,) integers as wide as `dtype`, negative where an element is dropped.

    Draws from torch's CPU generator, whose state is part of every checkpoint.
    """
    words = torch.empty(-(-num_elements // 8), dtype=torch.int64)
    words.random_(torch.iinfo(torch.int64).min, None)  # all 64 bits; by default one stays 0
    pairs = words.view(torch.int16)  # two bytes each, so both halves below are vectorised
    signs = torch.empty((2, len(pairs)), dtype=torch.int16)
    torch.bitwise_and(pairs, 255, out=signs[0])
    torch.bitwise_right_shift(pairs, 8, out=signs[1])
    signs[1].bitwise_and_(255)
    signs.sub_(byte_threshold(p))
    return signs.view(-1)[:num_elements].to(INT_TYPES[dtype.itemsize])


class _Drop(torch.autograd.Function):
    """Zero the dropped elements by their bits: twice as fast as multiplying with a mask."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, p: float) -> torch.Tensor:
        signs = draw_signs(x.numel(), p, x.dtype)
        last_bit = 8 * x.dtype.itemsize - 1
        ctx.keep = signs.bitwise_right_shift_(last_bit).bitwise_not_().view(x.shape)  # 0 or all 1
        ctx.scale = keep_scale(p)
        return _keep(x, ctx.keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _keep(gradients[0], ctx.keep).mul_(ctx.scale), None


def _keep(x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return (x.contiguous().view(keep.dtype) & keep).view(x.dtype)


class ByteDropout(nn.Dropout):
    """`nn.Dropout` with a cheap mask on a CPU, and torch's own elsewhere."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Drop with probability p while training."""
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        dropped: torch.Tensor = _Drop.apply(input, self.p)
        return dropped


def use_byte_dropout(model: nn.Module) -> None:
    """Put ByteDropout in the place of every nn.Dropout of `model`."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, ByteDropout(child.p, child.inplace).train(child.training))
