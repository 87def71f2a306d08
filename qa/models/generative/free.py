"""Free decoding: the likeliest token again and again, whether it stands in the context or not.

B: windows, T: tokens of the longest window, L: tokens of the longest answer.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from qa.models.generative.places import behind
from qa.models.generative.search import NOTHING, Writer


class FreeAnswers(NamedTuple):
    """One answer for each window."""

    scores: torch.Tensor  # (B,) log-probability minus that of the empty answer
    token_ids: torch.Tensor  # (B, L) -1 behind the end
    starts: torch.Tensor  # (B,) first token in the window; -1: it is no run of tokens there
    ends: torch.Tensor  # (B,) last token; -1 likewise


def write_freely(
    writer: Writer,
    input_ids: torch.Tensor,
    in_context: torch.Tensor,
    covers: torch.Tensor,
    max_answer_length: int,
) -> FreeAnswers:
    """Write one answer for each window, of one token at least: scores tell whether it has one.

    Args:
        writer: Writes about these windows.
        input_ids: (B, T).
        in_context: (B, T) bool, tokens of the context.
        covers: (B, T) bool, tokens that a piece of the context may begin and end with.
        max_answer_length: L.
    """
    context = in_context.unsqueeze(1)  # (B, 1, T)
    following = writer.begin(context)
    null = following.end.squeeze(1)
    scores, ended = torch.zeros_like(null), torch.zeros_like(null, dtype=torch.bool)
    ends, pull = context, following.copies
    allowed = context
    written: list[torch.Tensor] = []
    first = torch.zeros_like(ended).unsqueeze(1)
    for length in range(1, max_answer_length + 1):
        here, place = following.tokens.squeeze(1).masked_fill(~in_context, NOTHING).max(1)
        token = torch.where(
            here >= following.other.squeeze(1),
            input_ids.gather(1, place.unsqueeze(1)).squeeze(1),
            following.other_ids.squeeze(1),
        )
        likeliest = torch.maximum(here, following.other.squeeze(1))
        if length > 1:
            stops = ~ended & (following.end.squeeze(1) >= likeliest)
            scores = torch.where(stops, scores + following.end.squeeze(1), scores)
            ended = ended | stops
            if bool(ended.all()):  # a host sync, for far fewer steps
                break
        scores = torch.where(ended, scores, scores + likeliest)
        written.append(torch.where(ended, -1, token))
        new = allowed & (input_ids == token.unsqueeze(1)).unsqueeze(1)
        ends = torch.where(ended[:, None, None], ends, new)
        allowed = behind(ends) & context
        following = writer.go_on(first.long(), token.unsqueeze(1), new, behind(new) & context)
    else:  # what is longest ends here
        scores = torch.where(ended, scores, scores + following.end.squeeze(1))
    token_ids = torch.stack(written, 1)
    count = (token_ids >= 0).sum(1)
    return FreeAnswers(scores - null, token_ids, *place_of(ends, pull, covers, count))


def place_of(
    ends: torch.Tensor, pull: torch.Tensor, covers: torch.Tensor, count: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return first and last token, (B,) each, of the place from which the first one is copied most.

    Both are -1 where there is none.

    Args:
        ends: (B, 1, T) bool, the places where the answers end.
        pull: (B, 1, T) how much the first token is copied from each place.
        covers: (B, T) bool, tokens that a piece may begin and end with.
        count: (B,) tokens of the answers.
    """
    index = torch.arange(ends.shape[2], device=ends.device)
    began = (index - count.unsqueeze(1) + 1).clamp(min=0)  # (B, T) where each would have begun
    fits = ends.squeeze(1) & covers & covers.gather(1, began)
    last = pull.squeeze(1).gather(1, began).masked_fill(~fits, NOTHING).argmax(1)
    is_there = fits.any(1)
    return (
        torch.where(is_there, last - count + 1, -1),
        torch.where(is_there, last, -1),
    )
