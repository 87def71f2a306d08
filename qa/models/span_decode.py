"""Exact n-best decoding: the best spans over the whole matrix of starts and ends.

A tokenizer may cut a character into several tokens. A span of characters still belongs to one pair
of tokens only, the pair that it would have as a label, so that the n best spans are n different
ones.

B: windows, T: tokens, W: widest answer in tokens, P: that of a pair head, N: n-best,
K: choices of characters to drop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from qa.models.pair_head import following

BEHIND = 2**31  # behind all characters; exact even as a float, which F.pad takes


class Offsets(NamedTuple):
    """The characters of the context that each token covers.

    No answer begins or ends in a token that covers none, whose start equals its end. Over all other
    tokens, neither starts nor ends decrease from token to token.
    """

    starts: torch.Tensor  # (B, T)
    ends: torch.Tensor  # (B, T)
    reach: int  # how far apart two tokens that share a character can be; 0 if none do


class Spans(NamedTuple):
    """The best spans of each window, best first; score -inf where a window has fewer than N."""

    scores: torch.Tensor  # (B, N) logits of both ends + log-probability of both trims + the pair's
    starts: torch.Tensor  # (B, N) first token
    ends: torch.Tensor  # (B, N) last token
    start_trims: torch.Tensor  # (B, N) characters of the first token before the answer
    end_trims: torch.Tensor  # (B, N) characters of the last token behind the answer


def best_spans(
    start_logits: torch.Tensor,
    end_logits: torch.Tensor,
    offsets: Offsets,
    n_best_size: int,
    max_answer_length: int,
    trims: torch.Tensor | None = None,
    pairs: torch.Tensor | None = None,
) -> Spans:
    """Find the best spans of characters in each window.

    All spans are compared, on the device, without a host sync; none comes twice.

    Args:
        start_logits: (B, T).
        end_logits: (B, T).
        offsets: The characters that each token covers.
        n_best_size: Spans to find in each window.
        max_answer_length: Tokens of the longest answer.
        trims: (B, T, 2, K) log-probability of dropping 0 to K - 1 characters at the front of a
            first token and at the end of a last token; answers are whole tokens if None.
        pairs: (B, T, P) scores of tokens i and i + w as one answer's ends, of `PairHead`; if None
            answers are scored by their ends alone, as those wider than P, which an export may have.
    """
    if trims is None:
        trims = start_logits.new_zeros(*start_logits.shape, 2, 1)
    front, back = trims.float().unbind(2)  # (B, T, K)
    if offsets.reach:
        front, back = without_shared(front, back, offsets)
    allowed = offsets.starts < offsets.ends
    starts = start_logits.float().masked_fill(~allowed, float("-inf"))  # (B, T)
    ends = end_logits.float().masked_fill(~allowed, float("-inf"))  # (B, T)
    width = min(max_answer_length, starts.shape[1])
    # First the best pairs of tokens, each scored with its best trims: no other pair can hold one of
    # the n best spans, since n pairs would come before it.
    near = [
        near_pairs(starts, ends, front, back, offsets, distance)
        for distance in range(min(offsets.reach + 1, width))
    ]
    pair_scores, first, last = best_pairs(
        starts + front.amax(2), ends + back.amax(2), near, n_best_size, width, pairs
    )
    # Then the best spans among all trims of these pairs.
    rows = torch.arange(len(starts), device=starts.device).unsqueeze(1)  # (B, 1)
    num_characters = offsets.ends[rows, last] - offsets.starts[rows, first]  # (B, N)
    both = both_trims(front[rows, first], back[rows, last], num_characters)  # (B, N, K, K)
    tokens = starts[rows, first] + ends[rows, last]  # (B, N)
    if pairs is not None:
        tokens = tokens + score_pairs(pairs, first, last)
    spans = tokens[..., None, None] + both
    spans = spans.masked_fill((pair_scores == float("-inf"))[..., None, None], float("-inf"))
    return best_of_pairs(spans, first, last, n_best_size)


def without_shared(
    front: torch.Tensor, back: torch.Tensor, offsets: Offsets
) -> tuple[torch.Tensor, torch.Tensor]:
    """Set trims to -inf where the character that would be first or last belongs to another token.

    As in labels, an answer begins in the first token that covers its first character and ends in
    the last token that covers its last character. `front`, `back`: (B, T, K), also when returned.
    """
    covers = offsets.starts < offsets.ends  # (B, T)
    end_so_far = offsets.ends.masked_fill(~covers, 0).cummax(1).values
    start_from_here = offsets.starts.masked_fill(~covers, BEHIND).flip(1).cummin(1).values.flip(1)
    end_before = F.pad(end_so_far[:, :-1], (1, 0))
    start_behind = F.pad(start_from_here[:, 1:], (0, 1), value=BEHIND)
    choice = torch.arange(front.shape[2], device=front.device)
    is_earlier = offsets.starts.unsqueeze(2) + choice < end_before.unsqueeze(2)  # (B, T, K)
    is_later = offsets.ends.unsqueeze(2) - choice > start_behind.unsqueeze(2)
    never = float("-inf")
    return front.masked_fill(is_earlier, never), back.masked_fill(is_later, never)


def near_pairs(
    starts: torch.Tensor,
    ends: torch.Tensor,
    front: torch.Tensor,
    back: torch.Tensor,
    offsets: Offsets,
    distance: int,
) -> torch.Tensor:
    """Score the pairs of tokens that are `distance` apart, with the best trims: (B, T - distance).

    Two near tokens can cover the same characters, so trims count only if they leave a character.

    Args:
        starts: (B, T) scores of a first token.
        ends: (B, T) scores of a last token.
        front: (B, T, K) log-probabilities of a first token's trims.
        back: (B, T, K) log-probabilities of a last token's trims.
        offsets: The characters that each token covers.
        distance: 0 if first and last token are the same.
    """
    count = starts.shape[1] - distance
    num_characters = offsets.ends[:, distance:] - offsets.starts[:, :count]
    both = both_trims(front[:, :count], back[:, distance:], num_characters)
    return starts[:, :count] + ends[:, distance:] + both.flatten(2).amax(2)


def both_trims(
    front: torch.Tensor, back: torch.Tensor, num_characters: torch.Tensor
) -> torch.Tensor:
    """Add the trims of pairs of tokens: (B, P, K, K), -inf where they leave no character.

    `front`, `back`: (B, P, K) of the first and the last tokens. `num_characters`: (B, P) characters
    that a pair spans before trimming.
    """
    choice = torch.arange(front.shape[2], device=front.device)
    dropped = choice.unsqueeze(1) + choice  # (K, K)
    both = front.unsqueeze(3) + back.unsqueeze(2)
    return both.masked_fill_(dropped >= num_characters[..., None, None], float("-inf"))


def best_pairs(
    starts: torch.Tensor,
    ends: torch.Tensor,
    near: Sequence[torch.Tensor],
    n_best_size: int,
    width: int,
    own_scores: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Find the best pairs of a first and a last token.

    Args:
        starts: (B, T) scores of a first token.
        ends: (B, T) scores of a last token.
        near: (B, T - w) scores of the pairs w tokens apart, for w = 0, 1, ..., as far as they are
            not sums of the scores of both tokens.
        n_best_size: Pairs to find in each window.
        width: Tokens of the longest answer.
        own_scores: (B, T, P) what is added for each pair.

    Returns:
        Scores, first tokens, last tokens, (B, N) each.
    """
    num_tokens = starts.shape[1]
    pairs = starts.unsqueeze(2) + following(ends, width, float("-inf"))  # (B, T, W)
    for distance, scores in enumerate(near):
        pairs[:, : num_tokens - distance, distance] = scores
    if own_scores is not None:
        own_width = min(width, own_scores.shape[2])
        pairs[:, :, :own_width] += own_scores[:, :, :own_width]
    n_best = min(n_best_size, num_tokens * width)
    scores, flat = without_nan(pairs).flatten(1).topk(n_best, dim=1)  # (B, N)
    first = flat // width
    # An impossible pair may point behind the last token.
    return scores, first, (first + flat % width).clamp(max=num_tokens - 1)


def score_pairs(pairs: torch.Tensor, first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Return (B, N) the scores of chosen pairs, 0 of a wider one; see `best_spans`."""
    rows = torch.arange(len(pairs), device=pairs.device).unsqueeze(1)  # (B, 1)
    behind, widest = last - first, pairs.shape[2] - 1
    scores = pairs[rows, first, behind.clamp(max=widest)]
    return scores.masked_fill(behind > widest, 0.0)


def best_of_pairs(
    spans: torch.Tensor, first: torch.Tensor, last: torch.Tensor, n_best_size: int
) -> Spans:
    """Find the best of `spans` (B, N, K, K), pairs with their trims; `first`, `last`: (B, N)."""
    choices = spans.shape[3]
    flat_spans = without_nan(spans).flatten(1)  # (B, N * K * K)
    scores, flat = flat_spans.topk(min(n_best_size, flat_spans.shape[1]), dim=1)  # (B, N)
    pair, trim = flat // choices**2, flat % choices**2
    return Spans(
        scores, first.gather(1, pair), last.gather(1, pair), trim // choices, trim % choices
    )


def without_nan(scores: torch.Tensor) -> torch.Tensor:
    """Replace nan by -inf: a model that diverged has nan scores, which topk would put first."""
    return scores.nan_to_num(nan=float("-inf"), neginf=float("-inf"))
