"""The training loss of a span reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from qa.models.boundary_head import boundary_loss
from qa.models.span_reader import SpanScores

IGNORE_POSITION = -100


def window_loss(scores: SpanScores, batch: Mapping[str, Any]) -> torch.Tensor:
    """Summed loss of a batch's windows: of the span and, with a boundary head, of its trims."""
    positions = batch["start_positions"], batch["end_positions"]
    loss = span_loss(scores.start_logits, scores.end_logits, *positions)
    if scores.trims is None:
        return loss
    return loss + boundary_loss(scores.trims, *positions, batch["start_trims"], batch["end_trims"])


def span_loss(
    start_logits: torch.Tensor,
    end_logits: torch.Tensor,
    start_positions: torch.Tensor,
    end_positions: torch.Tensor,
) -> torch.Tensor:
    """Sum over windows of the mean of the start's and the end's cross-entropy; a scalar.

    start_logits, end_logits: (B, T), -inf behind a window's end, so that the loss of a window does
    not depend on the windows beside it. start_positions, end_positions: (B,) token indices,
    `IGNORE_POSITION` for a window that does not count.
    """
    total = start_logits.new_zeros((), dtype=torch.float32)
    for logits, positions in ((start_logits, start_positions), (end_logits, end_positions)):
        total = total + F.cross_entropy(
            logits.float(), positions, ignore_index=IGNORE_POSITION, reduction="sum"
        )
    return total / 2
