"""Exact n-best decoding: the best spans over the whole matrix of starts and ends.

B: windows, T: tokens, W: widest answer in tokens, N: n-best, K: choices of characters to drop.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F


class Spans(NamedTuple):
    """The best spans of each window, best first; score -inf where a window has fewer than N."""

    scores: torch.Tensor  # (B, N) start + end logit, and the log-probability of both trims
    starts: torch.Tensor  # (B, N) first token
    ends: torch.Tensor  # (B, N) last token
    start_trims: torch.Tensor  # (B, N) characters of the first token before the answer
    end_trims: torch.Tensor  # (B, N) characters of the last token behind it


def best_spans(
    start_logits: torch.Tensor,
    end_logits: torch.Tensor,
    num_characters: torch.Tensor,
    n_best_size: int,
    max_answer_length: int,
    trims: torch.Tensor | None = None,
) -> Spans:
    """The `n_best_size` best spans start <= end of at most `max_answer_length` tokens.

    start_logits, end_logits: (B, T). num_characters: (B, T) characters of the context that a token
    covers; an answer neither begins nor ends in a token with 0. trims: (B, T, 2, K) log-probability
    of dropping so many characters at the front of a first token and at the end of a last one; whole
    tokens if None. All spans are compared, on the device, without a sync.
    """
    if trims is None:
        trims = start_logits.new_zeros(*start_logits.shape, 2, 1)
    trims = trims.float()
    allowed = num_characters > 0
    starts = start_logits.float().masked_fill(~allowed, float("-inf"))  # (B, T)
    ends = end_logits.float().masked_fill(~allowed, float("-inf"))  # (B, T)
    # First the best pairs of tokens, each with its best trims: no other pair can hold one of the
    # n best spans, since n pairs would come before it.
    front, back = trims[:, :, 0], trims[:, :, 1]  # (B, T, K)
    within = one_token_trims(front, back, num_characters)  # (B, T, K, K)
    pair_scores, first, last = best_pairs(
        starts + front.amax(2),
        ends + back.amax(2),
        starts + ends + within.flatten(2).amax(2),
        n_best_size,
        max_answer_length,
    )
    # Then the best trims of these pairs.
    rows = torch.arange(len(starts), device=starts.device).unsqueeze(1)  # (B, 1)
    both = front[rows, first].unsqueeze(3) + back[rows, last].unsqueeze(2)  # (B, N, K, K)
    both = torch.where((first == last)[..., None, None], within[rows, first], both)
    spans = (starts[rows, first] + ends[rows, last])[..., None, None] + both
    spans = spans.masked_fill((pair_scores == float("-inf"))[..., None, None], float("-inf"))
    choices = trims.shape[3]
    flat_spans = without_nan(spans).flatten(1)  # (B, N * K * K)
    scores, flat = flat_spans.topk(min(n_best_size, flat_spans.shape[1]), dim=1)  # (B, N)
    pair, trim = flat // choices**2, flat % choices**2
    return Spans(
        scores, first.gather(1, pair), last.gather(1, pair), trim // choices, trim % choices
    )


def best_pairs(
    starts: torch.Tensor,
    ends: torch.Tensor,
    within: torch.Tensor,
    n_best_size: int,
    max_answer_length: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best pairs of a first and a last token: scores, first, last, (B, N) each.

    starts, ends: (B, T) scores of a first and of a last token. within: (B, T) of one that is both.
    """
    num_tokens = starts.shape[1]
    width = min(max_answer_length, num_tokens)
    # band[b, i, w] is the end score of token i + w
    band = F.pad(ends, (0, width - 1), value=float("-inf")).unfold(1, width, 1)  # (B, T, W)
    pairs = starts.unsqueeze(2) + band
    pairs[:, :, 0] = within
    n_best = min(n_best_size, num_tokens * width)
    scores, flat = without_nan(pairs).flatten(1).topk(n_best, dim=1)  # (B, N)
    first = flat // width
    # An impossible pair may point behind the last token.
    return scores, first, (first + flat % width).clamp(max=num_tokens - 1)


def one_token_trims(
    front: torch.Tensor, back: torch.Tensor, num_characters: torch.Tensor
) -> torch.Tensor:
    """(B, T, K, K) both trims of an answer inside one token, which must leave a character."""
    choice = torch.arange(front.shape[2], device=front.device)
    dropped = choice.unsqueeze(1) + choice  # (K, K)
    both = front.unsqueeze(3) + back.unsqueeze(2)
    return both.masked_fill(dropped >= num_characters[..., None, None], float("-inf"))


def without_nan(scores: torch.Tensor) -> torch.Tensor:
    """-inf for nan: a model that diverged has nan scores, which topk would put first."""
    return scores.nan_to_num(nan=float("-inf"), neginf=float("-inf"))
