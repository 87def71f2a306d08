"""The windows of a trial, and how much their scores may differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# Share of the largest score. Rounding makes up to 4e-6 (BERT-large); seeing another window's tokens
# makes 5e-4 and more.
PACKED_TOLERANCE = 5e-5
SHORT_WINDOWS = (5, 3)  # tokens of the windows, the longer one first
LONGEST_TRIAL = 600  # tokens; more would take seconds


def are_close(scores: torch.Tensor, expected: torch.Tensor) -> bool:
    """Return whether scores differ by rounding alone; -inf, behind a window's end, is left out."""
    finite = expected.isfinite()
    difference = (scores - expected)[finite].abs().max()
    return bool(difference < PACKED_TOLERANCE * expected[finite].abs().max())


def has_local_layers(config: PretrainedConfig) -> bool:
    """Return whether some of the encoder's layers see neighbours only."""
    layer_types = getattr(config, "layer_types", None) or ()
    return "sliding_attention" in layer_types and bool(getattr(config, "sliding_window", None))


def telling_lengths(config: PretrainedConfig) -> tuple[int, int] | None:
    """Return lengths of two windows that show whether packing is exact; None if none are short.

    Where tokens see only their neighbours, both windows must be longer than that.
    """
    if not has_local_layers(config):
        return SHORT_WINDOWS
    longest = int(config.sliding_window) + 24
    return (longest, longest - 3) if longest <= min(LONGEST_TRIAL, most_tokens(config)) else None


def uneven_lengths(config: PretrainedConfig) -> tuple[int, int]:
    """Return lengths of two windows, one of which is mostly padding beside the other."""
    longest = min(30, most_tokens(config))
    return longest, max(longest // 4, 1)


def most_tokens(config: PretrainedConfig) -> int:
    """Return how long a window can surely be."""
    positions = getattr(config, "max_position_embeddings", None) or 0
    shift = (getattr(config, "pad_token_id", None) or 0) + 1  # where RoBERTa counts from
    return max(positions - shift, 5) if positions > 0 else LONGEST_TRIAL
