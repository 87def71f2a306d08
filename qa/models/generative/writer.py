"""Writing answers token by token: every window remembered once, every token's keys kept.

B: windows, R: prefixes of answers of one window, T: tokens of the longest window, V: vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F

from qa.models.generative.copy_decoder import CopyDecoder, NextToken, WindowMemory
from qa.models.generative.decoder import Cache


class Following(NamedTuple):
    """What may follow each prefix: logarithms of probabilities, fp32."""

    end: torch.Tensor  # (B, R) of ending here
    tokens: torch.Tensor  # (B, R, T) of the token that stands at each place; the same for one id
    copies: torch.Tensor  # (B, R, T) of copying it from that place
    other: torch.Tensor  # (B, R) of the likeliest token of the vocabulary, copies left out
    other_ids: torch.Tensor  # (B, R) that token


class CopyWriter:
    """Writes answers with a `CopyDecoder`.

    Args:
        decoder: Writes.
        memory: The windows.
        table: (V, E) embeddings.
    """

    def __init__(self, decoder: CopyDecoder, memory: WindowMemory, table: torch.Tensor) -> None:
        self.decoder, self.memory, self.table = decoder, memory, table
        ids = memory.input_ids
        self._same = (ids.unsqueeze(2) == ids.unsqueeze(1)).float()  # (B, T, T)
        self._caches: list[Cache] | None = None

    def begin(self, follow: torch.Tensor) -> Following:
        """Return what may come first: (B, 1) prefixes, of no token.

        `follow`: (B, 1, T) bool, the places that may be copied.
        """
        inputs = self.decoder.first_input(len(follow))
        following, self._caches = self.decoder(inputs, follow.unsqueeze(2), self.memory)
        return self._following(following)

    def go_on(
        self,
        prefixes: torch.Tensor,
        tokens: torch.Tensor,
        ends: torch.Tensor,
        follow: torch.Tensor,
    ) -> Following:
        """Return what may follow prefixes that each get one more token.

        Args:
            prefixes: (B, R) which of the prefixes before each one goes on.
            tokens: (B, R) the token that it gets.
            ends: (B, R, T) bool, the places where its text ends then.
            follow: (B, R, T) bool, the places that may be copied next.
        """
        assert self._caches is not None  # `begin` comes first
        caches = [cache.select(prefixes) for cache in self._caches]
        embeddings = F.embedding(tokens, self.table).unsqueeze(2)
        inputs = self.decoder.inputs(embeddings, ends.unsqueeze(2), self.memory)
        following, self._caches = self.decoder(inputs, follow.unsqueeze(2), self.memory, caches)
        return self._following(following)

    def _following(self, found: NextToken) -> Following:
        """Return the one token's part of it, summed by token id."""
        end, written, copied, logits = (each.squeeze(2) for each in found)
        with torch.autocast(logits.device.type, enabled=False):
            vocabulary = (logits.float() @ self.table.float().T).log_softmax(-1)  # (B, R, V)
            places = self.memory.input_ids.unsqueeze(1).expand(copied.shape)
            mass = copied.exp() @ self._same  # (B, R, T)
        by_id = written.unsqueeze(2) + vocabulary.gather(2, places)
        best = vocabulary.max(2)
        return Following(
            end,
            torch.logaddexp(mass.clamp(min=1e-38).log(), by_id),
            copied,
            written + best.values,
            best.indices,
        )
