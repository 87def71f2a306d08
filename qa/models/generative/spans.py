"""From written answers to spans of characters: the boundary head places their ends inside tokens.

B: windows, T: tokens of the longest window, N: n-best, K: choices of characters to drop.
"""

from __future__ import annotations

import torch

from qa.models.generative.free import FreeAnswers
from qa.models.generative.search import NOTHING, Candidates
from qa.models.span_decode import Offsets, Spans, best_of_pairs, both_trims, without_shared


def candidate_spans(
    found: Candidates, offsets: Offsets, n_best_size: int, trims: torch.Tensor | None
) -> Spans:
    """Return the best spans of characters among the trims of these answers.

    Args:
        found: Answers, as first and last tokens.
        offsets: The characters that each token covers.
        n_best_size: N.
        trims: (B, T, 2, K) of a boundary head; answers are whole tokens if None.
    """
    if trims is None:
        trims = found.scores.new_zeros(*offsets.starts.shape, 2, 1)
    front, back = trims.float().unbind(2)  # (B, T, K)
    if offsets.reach:
        front, back = without_shared(front, back, offsets)
    rows = torch.arange(len(front), device=front.device).unsqueeze(1)  # (B, 1)
    first, last = found.starts, found.ends
    num_characters = offsets.ends[rows, last] - offsets.starts[rows, first]  # (B, N)
    both = both_trims(front[rows, first], back[rows, last], num_characters)  # (B, N, K, K)
    return best_of_pairs(found.scores[..., None, None] + both, first, last, n_best_size)


def with_free(found: Candidates, answers: FreeAnswers) -> Candidates:
    """Return the candidates, and the freely written answer of each window that it stands in."""
    scores = answers.scores.masked_fill(answers.starts < 0, NOTHING)
    starts, ends = (each.clamp(min=0) for each in (answers.starts, answers.ends))
    return Candidates(
        torch.cat((found.scores, scores.unsqueeze(1)), 1),
        torch.cat((found.starts, starts.unsqueeze(1)), 1),
        torch.cat((found.ends, ends.unsqueeze(1)), 1),
        found.is_exact,
    )
