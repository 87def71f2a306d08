"""What a model computes for a token, counted, to tell how well a step uses the machine."""

from __future__ import annotations

from typing import NamedTuple

from torch.utils.flop_counter import FlopCounterMode

from qa.models.packing.probe import evaluating, two_windows
from qa.models.packing.segments import ROUND_TOTAL, ROUND_WIDTH, round_up
from qa.models.span_reader import SpanReader


class ModelFlops(NamedTuple):
    """Floating point operations of a step's forward passes.

    per_token: of the linear layers, for each token. per_pair: of attention, for each pair of tokens
    of a window.
    """

    per_token: float
    per_pair: float

    def training(self, num_tokens: int, num_token_pairs: int) -> float:
        """Operations of forward and backward; the latter multiplies twice for each product."""
        return 3 * (self.per_token * num_tokens + self.per_pair * num_token_pairs)


def count_flops(reader: SpanReader, passes: int = 1) -> ModelFlops:
    """Count the products that a small batch takes, on the CPU; passes: of a step over its batch."""
    # Not under no_grad, where the counter's hooks refuse some models.
    batch = two_windows(reader.model)
    num_windows, width = batch["shape"]
    with evaluating(reader), FlopCounterMode(display=False) as counter:
        reader(**batch)
    operations = counter.get_flop_counts()["Global"]
    linear = sum(n for op, n in operations.items() if "mm" in str(op) and "bmm" not in str(op))
    attention = sum(operations.values()) - linear
    if reader.is_packed:
        num_tokens = round_up(sum(batch["lengths"]), ROUND_TOTAL)
        num_pairs = sum(round_up(n, ROUND_WIDTH) ** 2 for n in batch["lengths"])
    else:
        num_tokens, num_pairs = num_windows * width, num_windows * width**2
    return ModelFlops(passes * linear / num_tokens, passes * attention / num_pairs)
