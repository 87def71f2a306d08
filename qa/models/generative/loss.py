"""The training loss of a generative reader, in the form that the engine calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from qa.models.boundary_head import boundary_loss
from qa.models.loss import span_loss
from qa.models.model_io import SpanScores, model_inputs

TARGETS = ("target_ids", "target_rows")


def generative_loss(
    model: nn.Module, batch: Mapping[str, Any], span_loss_weight: float = 0.0
) -> torch.Tensor:
    """Return the summed loss of a batch: the loss function that the engine is given.

    It is the cross-entropy of the targets, i.e. of all answers' tokens and ends; the boundary
    head's loss, if there is one; and `span_loss_weight` times the span head's.
    """
    targets = {name: batch[name] for name in TARGETS}
    scores, log_probs = model(**model_inputs(batch), **targets)
    loss = answer_loss(log_probs, scores, batch)
    if not span_loss_weight or scores is None:
        return loss
    positions = batch["start_positions"], batch["end_positions"]
    spans = span_loss(scores.start_logits, scores.end_logits, *positions)
    return loss + span_loss_weight * spans


def answer_loss(
    log_probs: torch.Tensor, scores: SpanScores | None, batch: Mapping[str, Any]
) -> torch.Tensor:
    """Sum the loss of answers and of where they end inside their tokens; a scalar, fp32.

    Args:
        log_probs: (targets,) of each target.
        scores: Of the span reader that the model holds, whose trims are used; None without one.
        batch: The labels.
    """
    loss = -log_probs.sum()
    if scores is None or scores.trims is None:
        return loss
    positions = batch["start_positions"], batch["end_positions"]
    return loss + boundary_loss(scores.trims, *positions, batch["start_trims"], batch["end_trims"])
