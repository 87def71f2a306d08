"""Windows that a generative reader has read, ready to be written about."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from qa.models.model_io import SpanScores


class Reading(NamedTuple):
    """What is known of B windows; T: tokens of the longest."""

    scores: SpanScores | None  # of the same encoder's span head, if it has one
    memory: Any  # what the decoder looks at
    input_ids: torch.Tensor  # (B, T), 0 behind a window's end
    in_context: torch.Tensor  # (B, T) bool, tokens of the context
    covers: torch.Tensor  # (B, T) bool, tokens that cover a character of it

    @property
    def trims(self) -> torch.Tensor | None:
        """(B, T, 2, K) of the boundary head, if there is one; see `SpanScores`."""
        return None if self.scores is None else self.scores.trims
