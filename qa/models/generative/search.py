"""Constrained decoding: the likeliest answers among the pieces of the context.

Prefixes of answers are kept as masks of the places where they end, so that what may follow is what
stands behind these places, and a mask is its answer's offset. No trie is built.

B: windows, R: prefixes kept for one window, T: tokens of the longest window, N: n-best.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch.nn import functional as F

from qa.models.generative.places import behind, first_of_each_id
from qa.models.generative.writer import Following

# Prefixes that are kept for a window. Each costs a product with the whole vocabulary for every
# token, and of 60 questions of KorQuAD the best answers were exact with 3 already.
BEAM = 4
# Stop when the prefixes that are still open have less than this share of the best answer's
# probability, all together.
OPEN_SHARE = 0.01
NOTHING = float("-inf")


class Writer(Protocol):
    """What search and free decoding ask of a decoder; `CopyWriter` says what it means."""

    def begin(self, follow: torch.Tensor) -> Following: ...

    def go_on(
        self,
        prefixes: torch.Tensor,
        tokens: torch.Tensor,
        ends: torch.Tensor,
        follow: torch.Tensor,
    ) -> Following: ...


class Candidates(NamedTuple):
    """Answers of each window, best first; score -inf where a window has fewer than N."""

    scores: torch.Tensor  # (B, N) log-probability minus that of the empty answer
    starts: torch.Tensor  # (B, N) first token
    ends: torch.Tensor  # (B, N) last token
    is_exact: torch.Tensor  # (B,) bool, whether no other piece of the context is likelier


def search(
    writer: Writer,
    input_ids: torch.Tensor,
    in_context: torch.Tensor,
    covers: torch.Tensor,
    n_best_size: int,
    max_answer_length: int,
    beam: int = BEAM,
) -> Candidates:
    """Find the likeliest pieces of the context, and where they stand.

    At each length the `beam` likeliest prefixes are kept. A prefix is at least as likely as any
    answer that it begins, so the best answer found is the best there is unless one that was dropped
    was likelier: `is_exact` says so. Of several places of one answer the one is given from which
    its first token is copied most.

    Args:
        writer: Writes about these windows.
        input_ids: (B, T).
        in_context: (B, T) bool, tokens that an answer may hold.
        covers: (B, T) bool, tokens that an answer may begin and end with.
        n_best_size: N.
        max_answer_length: Tokens of the longest answer.
        beam: R.
    """
    num_tokens = input_ids.shape[1]
    context = in_context.unsqueeze(1)  # (B, 1, T)
    following = writer.begin(context)
    null, pull = following.end, following.copies  # (B, 1), (B, 1, T)
    allowed = context & covers.unsqueeze(1)
    scores = torch.zeros_like(null)  # (B, R) log-probability of each prefix
    best = torch.full_like(null[:, 0], NOTHING)  # (B,) of the best answer so far
    dropped = left = best
    found: list[tuple[torch.Tensor, ...]] = []
    for length in range(1, max_answer_length + 1):
        tokens = following.tokens + scores.unsqueeze(2)  # (B, R, T)
        tokens = tokens.masked_fill(~first_of_each_id(allowed, input_ids), NOTHING).flatten(1)
        # One more than are kept, to know how likely the likeliest is that is dropped.
        scores, flat = tokens.topk(min(beam + 1, tokens.shape[1]), dim=1)
        if scores.shape[1] > beam:
            dropped = torch.maximum(dropped, scores[:, beam])
            scores, flat = scores[:, :beam], flat[:, :beam]
        parents, chosen = flat // num_tokens, input_ids.gather(1, flat % num_tokens)  # (B, R)
        went_on = allowed.gather(1, parents.unsqueeze(2).expand(-1, -1, num_tokens))
        ends = went_on & (input_ids.unsqueeze(1) == chosen.unsqueeze(2))  # (B, R, T)
        allowed = behind(ends) & context
        following = writer.go_on(parents, chosen, ends, allowed)
        done, last = finish(scores + following.end, ends & covers.unsqueeze(1), pull, length)
        found.append((done - null, (last - length + 1).clamp(min=0), last))
        best = torch.maximum(best, done.amax(1))
        left = scores.masked_fill(~allowed.any(2), NOTHING).logsumexp(1)  # (B,) still open
        if bool((left <= best + math.log(OPEN_SHARE)).all()):  # a host sync, for far fewer steps
            break
    found_scores, starts, lasts = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
    top, order = found_scores.topk(min(n_best_size, found_scores.shape[1]), dim=1)
    is_exact = best >= torch.maximum(dropped, left)
    return Candidates(top, starts.gather(1, order), lasts.gather(1, order), is_exact)


def finish(
    scores: torch.Tensor, places: torch.Tensor, pull: torch.Tensor, length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores and last tokens of the answers that end here, (B, R) each.

    Args:
        scores: (B, R) log-probability of the answers.
        places: (B, R, T) bool, where they end.
        pull: (B, 1, T) how much the first token is copied from each place.
        length: Tokens of the answers.
    """
    # The first token stands `length` - 1 before the last.
    pulled = F.pad(pull, (length - 1, 0))[..., : places.shape[2]]
    last = pulled.masked_fill(~places, NOTHING).argmax(2)
    return scores.masked_fill(~places.any(2), NOTHING), last
