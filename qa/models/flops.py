"""How many operations a model computes, to tell how well a step uses the machine."""

from __future__ import annotations

from typing import NamedTuple

from torch.utils.flop_counter import FlopCounterMode

from qa.engine.modes import evaluating
from qa.models.packing.probe import two_windows
from qa.models.packing.segments import ROUND_WIDTH, round_up
from qa.models.readers import WRITING, AnyReader


class ModelFlops(NamedTuple):
    """Floating point operations of a step's forward passes."""

    per_token: float  # of the linear layers, for each token
    per_pair: float  # of attention, for each pair of tokens of a window

    def training(self, num_tokens: int, num_token_pairs: int) -> float:
        """Return the operations of forward and backward.

        For each product of the forward pass the backward pass computes two: the gradients of both
        factors.
        """
        return 3 * (self.per_token * num_tokens + self.per_pair * num_token_pairs)


def count_flops(model: AnyReader, passes: int = 1) -> ModelFlops:
    """Count the operations of the products of a small batch; the model must be on the CPU.

    Of a generative reader those of the encoder: it writes a few tokens about some hundred.

    `passes`: forward passes that a step makes over its batch.
    """
    # Not under no_grad, where the counter's hooks refuse some models.
    batch = two_windows(model.model)
    num_windows, width = batch["shape"]
    with evaluating(model), FlopCounterMode(display=False) as counter:
        read = model.read if isinstance(model, WRITING) else model
        read(**batch)
    operations = counter.get_flop_counts()["Global"]
    linear = sum(n for op, n in operations.items() if "mm" in str(op) and "bmm" not in str(op))
    attention = sum(operations.values()) - linear
    if model.is_packed:
        num_tokens = sum(batch["lengths"])
        num_pairs = sum(round_up(n, ROUND_WIDTH) ** 2 for n in batch["lengths"])
    else:
        num_tokens, num_pairs = num_windows * width, num_windows * width**2
    return ModelFlops(passes * linear / num_tokens, passes * attention / num_pairs)
