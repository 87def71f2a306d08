"""The training loss of a span reader, in the form that the engine calls.

B: windows, T: tokens of the longest window.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from qa.models.boundary_head import boundary_loss
from qa.models.model_io import SpanScores, model_inputs
from qa.models.pair_head import pair_loss

IGNORE_POSITION = -100


def reader_loss(model: nn.Module, batch: Mapping[str, Any], r_drop: float = 0.0) -> torch.Tensor:
    """Return the summed loss of a batch: the loss function that the engine is given.

    `r_drop`: the weight of `r_drop_loss`; 0: one pass and the plain loss.
    """
    if r_drop:
        return r_drop_loss(model, batch, r_drop)
    return window_loss(model(**model_inputs(batch)), batch)


def window_loss(scores: SpanScores, batch: Mapping[str, Any]) -> torch.Tensor:
    """Sum the loss of a batch's windows: of the span and, with a boundary head, of its trims.

    With a pair head the span's loss is the mean of the two ends' own and the pair's.
    """
    positions = batch["start_positions"], batch["end_positions"]
    logits = scores.start_logits, scores.end_logits
    loss = span_loss(*logits, *positions)
    if scores.pairs is not None:  # halved, since one cross-entropy stands for two ends
        loss = (loss + pair_loss(scores.pairs, *logits, *positions) / 2) / 2
    if scores.trims is None:
        return loss
    return loss + boundary_loss(scores.trims, *positions, batch["start_trims"], batch["end_trims"])


def span_loss(
    start_logits: torch.Tensor,
    end_logits: torch.Tensor,
    start_positions: torch.Tensor,
    end_positions: torch.Tensor,
) -> torch.Tensor:
    """Sum over windows the mean of the start's and the end's cross-entropy; a scalar, fp32.

    Args:
        start_logits: (B, T), -inf behind a window's end, so that the loss of a window does not
            depend on the windows beside it.
        end_logits: (B, T), -inf behind a window's end.
        start_positions: (B,) token indices, `IGNORE_POSITION` for a window that does not count.
        end_positions: (B,) token indices, `IGNORE_POSITION` for a window that does not count.
    """
    total = start_logits.new_zeros((), dtype=torch.float32)
    for logits, positions in ((start_logits, start_positions), (end_logits, end_positions)):
        total = total + F.cross_entropy(
            logits.float(), positions, ignore_index=IGNORE_POSITION, reduction="sum"
        )
    return total / 2


def r_drop_loss(model: nn.Module, batch: Mapping[str, Any], weight: float) -> torch.Tensor:
    """Return a batch's loss, the mean of two passes, plus `weight` times how far these differ.

    R-Drop (Liang et al., 2021): a model sees few thousand questions and learns some of them by
    heart. The dropout masks of the two passes hide different parts of what it knows; the second
    term asks it to give the same distribution all the same. At weight 0 the second pass would be
    wasted, so `reader_loss` makes only one. The batch must hold every window twice: make it with
    `Collator(..., passes=2)`.
    """
    # One call with every window twice, since DDP expects one forward for a backward.
    scores = model(**model_inputs(batch))
    first, second = halves(scores)
    loss = (window_loss(first, batch) + window_loss(second, batch)) / 2
    return loss + weight * divergence(first, second)


def halves(scores: SpanScores) -> tuple[SpanScores, SpanScores]:
    """Part scores of 2 B windows into those of the first and of the second B windows."""
    parts = [(None, None) if part is None else part.chunk(2) for part in scores]
    first, second = (SpanScores._make(half) for half in zip(*parts, strict=True))
    return first, second


def divergence(first: SpanScores, second: SpanScores) -> torch.Tensor:
    """Sum over windows the symmetric KL divergence, the mean of starts and ends; a scalar.

    A pair head's scores are not asked to agree.

    With p and q the two distributions over a window's tokens, it is (KL(p, q) + KL(q, p)) / 2,
    and KL(p, q) + KL(q, p) is the sum of (p - q)(log p - log q).
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
    return total / 4  # by 2 for the mean of both directions, by 2 for that of starts and ends
