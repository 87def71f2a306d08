"""Exact n-best decoding: the best spans over the whole matrix of starts and ends.

B: windows, T: tokens, W: widest answer in tokens, N: n-best.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F


class Spans(NamedTuple):
    """The best spans of each window, best first; score -inf where a window has fewer than N."""

    scores: torch.Tensor  # (B, N) start logit + end logit
    starts: torch.Tensor  # (B, N) first token
    ends: torch.Tensor  # (B, N) last token


def best_spans(
    start_logits: torch.Tensor,
    end_logits: torch.Tensor,
    allowed: torch.Tensor,
    n_best_size: int,
    max_answer_length: int,
) -> Spans:
    """The `n_best_size` best pairs start <= end with at most `max_answer_length` tokens.

    start_logits, end_logits: (B, T). allowed: (B, T) bool, tokens an answer may start or end at.
    All pairs are compared, as a band of the start x end matrix; on the device, without a sync.
    """
    num_tokens = start_logits.shape[1]
    width = min(max_answer_length, num_tokens)
    starts = start_logits.float().masked_fill(~allowed, float("-inf"))  # (B, T)
    ends = end_logits.float().masked_fill(~allowed, float("-inf"))  # (B, T)
    # band[b, i, w] is the end logit of token i + w
    band = F.pad(ends, (0, width - 1), value=float("-inf")).unfold(1, width, 1)  # (B, T, W)
    # A model that diverged has nan scores, which topk would put first, padding included.
    pairs = (starts.unsqueeze(2) + band).nan_to_num(
        nan=float("-inf"), neginf=float("-inf")
    )  # (B, T, W)
    n_best = min(n_best_size, num_tokens * width)
    scores, flat = pairs.flatten(1).topk(n_best, dim=1)  # (B, N)
    first = flat // width
    return Spans(scores, first, first + flat % width)
