"""Where in its window the text written so far may stand: a mask over places.

The mask is the answer's offset: a text that stands in the window ends at one of its places, and it
goes on there at the next ones. B: windows, R: prefixes of answers of one window, L: tokens of an
answer, T: tokens of the longest window.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def context_places(num_characters: torch.Tensor) -> torch.Tensor:
    """Return (B, T) bool, true from the first to the last token that covers any character.

    These are the tokens of the context. Those between that cover none are blanks. `num_characters`:
    (B, T) characters of the context that each token covers.
    """
    covers = (num_characters > 0).long()
    return (covers.cummax(1).values & covers.flip(1).cummax(1).values.flip(1)).bool()


def behind(ends: torch.Tensor) -> torch.Tensor:
    """Return the places behind these, (..., T): where a text that ends at `ends` goes on."""
    return F.pad(ends[..., :-1], (1, 0))


def end_places(
    targets: torch.Tensor, input_ids: torch.Tensor, in_context: torch.Tensor
) -> torch.Tensor:
    """Return (B, L, T) bool: where the first 1, 2, ... L tokens of each text may end.

    Args:
        targets: (B, L) token ids of the texts.
        input_ids: (B, T) those of the windows.
        in_context: (B, T) bool, of `context_places`.
    """
    found = []
    allowed = in_context
    for number in range(targets.shape[1]):
        ends = allowed & (input_ids == targets[:, number : number + 1])
        found.append(ends)
        allowed = behind(ends) & in_context
    if not found:
        return in_context.new_zeros(len(targets), 0, in_context.shape[1])
    return torch.stack(found, 1)


def first_of_each_id(allowed: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
    """Return (B, R, T) bool: of the allowed places of one token id, the first.

    `allowed`: (B, R, T) bool. `input_ids`: (B, T).
    """
    same = input_ids.unsqueeze(2) == input_ids.unsqueeze(1)  # (B, T, T)
    # earlier[b, s, t]: place s comes before place t and has the same id.
    earlier = same.triu(1).float()
    return allowed & (allowed.float() @ earlier == 0)
