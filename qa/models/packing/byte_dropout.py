"""Dropout for CPUs that draws one random byte for each element.

torch draws dropout masks on a CPU with one serial Bernoulli trial per element, which takes longer
than the matrix products around it. Here the same generator fills whole words, and a byte is dropped
if it is below a threshold. Probabilities are therefore multiples of 1/256 (0.1 becomes 26/256, i.e.
0.1016), and what is kept is scaled by exactly that, so that the mean is right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

BYTE_VALUES = 256
INT_TYPES = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def byte_threshold(p: float) -> int:
    """Return how many of a byte's 256 values mean "dropped"; at least one value means "kept"."""
    return min(round(p * BYTE_VALUES), BYTE_VALUES - 1)


def keep_scale(p: float) -> float:
    """Return the factor of the elements that are kept."""
    return BYTE_VALUES / (BYTE_VALUES - byte_threshold(p))


def draw_signs(num_elements: int, p: float, dtype: torch.dtype) -> torch.Tensor:
    """Draw (num_elements,) integers as wide as `dtype`, negative where an element is dropped.

    They come from torch's CPU generator, whose state is part of every checkpoint.
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
        keep = signs.bitwise_right_shift_(last_bit).bitwise_not_().view(x.shape)  # 0 or all 1
        ctx.save_for_backward(keep)  # not an attribute: gradient checkpointing can drop it
        ctx.scale = keep_scale(p)
        return _keep(x, keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (keep,) = ctx.saved_tensors
        return _keep(gradients[0], keep).mul_(ctx.scale), None


def _keep(x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Return `x` with the bits that `keep` has, 0 elsewhere."""
    return (x.contiguous().view(keep.dtype) & keep).view(x.dtype)


class ByteDropout(nn.Dropout):
    """`nn.Dropout` with a cheap mask on a CPU, and torch's own elsewhere."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Drop elements with probability p while training."""
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        drop = cast("Callable[..., torch.Tensor]", _Drop.apply)
        return drop(input, self.p)


def use_byte_dropout(model: nn.Module) -> None:
    """Replace every nn.Dropout of `model` by a ByteDropout."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, ByteDropout(child.p, child.inplace).train(child.training))


def has_dropout(model: Any) -> bool:
    """Whether a transformers model drops anything in training, by its modules and its settings."""
    settings = [value for name, value in vars(model.config).items() if "dropout" in name]
    modules = [getattr(module, "p", 0) for module in model.modules() if is_dropout(module)]
    return any(isinstance(p, float | int) and p > 0 for p in (*settings, *modules))


def is_dropout(module: nn.Module) -> bool:
    """Whether it is torch's dropout or one of a model's own, by its name."""
    return "dropout" in type(module).__name__.lower()
