"""The training loss of a span reader, as the engine is given it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from qa.models.boundary_head import boundary_loss
from qa.models.span_reader import SpanScores, model_inputs

IGNORE_POSITION = -100


def reader_loss(model: nn.Module, batch: Mapping[str, Any], r_drop: float = 0.0) -> torch.Tensor:
    """The engine's loss function: the summed loss of a batch; r_drop: see `r_drop_loss`."""
    if r_drop:
        return r_drop_loss(model, batch, r_drop)
    return window_loss(model(**model_inputs(batch)), batch)


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


def r_drop_loss(model: nn.Module, batch: Mapping[str, Any], weight: float) -> torch.Tensor:
    """Summed loss of a batch's windows: the mean of two passes, and how far these are apart.

    R-Drop (Liang et al., 2021): a reader sees few thousand questions and learns some of them by
    heart. The dropout masks of two passes hide different parts of what it knows; it is told to
    spread its answers alike all the same.

    weight: of the distance; at 0 the second pass would be wasted, so `reader_loss` does without.
    """
    # One call with every window twice, since DDP expects one forward for a backward.
    scores = model(**twice(model_inputs(batch)))
    first, second = halves(scores)
    loss = (window_loss(first, batch) + window_loss(second, batch)) / 2
    return loss + weight * divergence(first, second)


def twice(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader takes, of 2 B windows: all of them, then all of them again."""
    num_windows, width = inputs["shape"]
    doubled: dict[str, Any] = {
        name: torch.cat((value, value))
        for name, value in inputs.items()
        if isinstance(value, torch.Tensor)
    }
    slots = inputs["slots"]
    doubled["slots"] = torch.cat((slots, slots + num_windows * width))
    doubled["lengths"] = [*inputs["lengths"], *inputs["lengths"]]
    doubled["shape"] = 2 * num_windows, width
    return doubled


def halves(scores: SpanScores) -> tuple[SpanScores, SpanScores]:
    """The scores of the first and of the second half of the windows."""
    starts, ends = scores.start_logits.chunk(2), scores.end_logits.chunk(2)
    trims = (None, None) if scores.trims is None else scores.trims.chunk(2)
    return SpanScores(starts[0], ends[0], trims[0]), SpanScores(starts[1], ends[1], trims[1])


def divergence(first: SpanScores, second: SpanScores) -> torch.Tensor:
    """Sum over windows of the symmetric KL divergence, the mean of starts and ends; a scalar.

    KL(p, q) and KL(q, p) are averaged, for which the sum of (p - q)(log p - log q) is twice theirs.
    """
    total = first.start_logits.new_zeros(())
    for ours, theirs in (
        (first.start_logits, second.start_logits),
        (first.end_logits, second.end_logits),
    ):  # (B, T), -inf behind a window's end, where both probabilities are 0
        is_token = ours > float("-inf")
        log_p = ours.log_softmax(1).masked_fill(~is_token, 0.0)
        log_q = theirs.log_softmax(1).masked_fill(~is_token, 0.0)
        total = total + ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum()
    return total / 4
