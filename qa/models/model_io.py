"""What goes into a span reader and what comes out of it.

B: windows, T: tokens of the longest window, K: choices of a boundary head,
W: tokens of a pair head's widest answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

NULL_TOKEN = 0  # the first token stands for "not in this window"
INPUTS = (
    *("input_ids", "slots", "shape", "num_characters"),
    *("lengths", "bounds", "token_type_ids"),  # may be missing
)


class SpanScores(NamedTuple):
    """The scores of a batch of windows, fp32."""

    start_logits: torch.Tensor  # (B, T), -inf behind a window's end
    end_logits: torch.Tensor  # (B, T), -inf behind a window's end
    trims: torch.Tensor | None  # (B, T, 2, K) see BoundaryHead; None without one
    pairs: torch.Tensor | None = None  # (B, T, W) see PairHead; None without one


def model_inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a batch that `SpanReader.forward` takes."""
    return {name: batch[name] for name in INPUTS if name in batch}
