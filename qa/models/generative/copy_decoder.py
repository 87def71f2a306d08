"""A decoder whose next token is an end, a token of the vocabulary, or a copy from the window.

p(end) = e, p(token) = (1 - e) * ((1 - c) * softmax over the vocabulary + c * copies), with gates e
and c from 0 to 1. Copies are attention over the context's tokens, summed by token id: all places of
a token share their mass, so no label has to say which place is meant (pointer-generator networks,
See et al., 2017). A copy that has begun goes on: attention is over the places behind those where
the text so far stands, if it stands anywhere. Without that a decoder has to learn from examples
what "the next token" is.

B: windows, R: prefixes of answers of one window, L: tokens of a prefix, T: tokens of the longest
window, F: hidden size, E: embedding size, V: vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from qa.models.generative.decoder import Cache, Decoder, Memory

NEVER = -1e9  # a logarithm of 0 whose gradient is none


class WindowMemory(NamedTuple):
    """The windows, as the decoder remembers them."""

    layers: Memory
    hidden: torch.Tensor  # (B, T, F) fp32, the encoder's last hidden states
    copy_keys: torch.Tensor  # (B, T, F) fp32
    input_ids: torch.Tensor  # (B, T)


class NextToken(NamedTuple):
    """What may follow each prefix: logarithms of probabilities, fp32."""

    end: torch.Tensor  # (B, R, L)
    written: torch.Tensor  # (B, R, L) of the vocabulary's part; add log softmax
    copied: torch.Tensor  # (B, R, L, T) of copying the token at each place
    logits: torch.Tensor  # (B, R, L, E) leads to the vocabulary's by the table of embeddings


class CopyDecoder(nn.Module):
    """The decoder and its gates; embeddings are the encoder's, at both ends.

    Args:
        hidden_size: F.
        embedding_size: E.
        num_heads: Heads of attention.
        num_layers: Layers.
        dropout: Probability, of what each part of a layer adds.
    """

    def __init__(
        self,
        hidden_size: int,
        embedding_size: int,
        num_heads: int,
        num_layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(hidden_size))
        self.from_embedding = nn.Linear(embedding_size, hidden_size)
        self.from_place = nn.Linear(hidden_size, hidden_size, bias=False)
        self.layers = Decoder(hidden_size, num_heads, num_layers, dropout)
        self.copy_query = nn.Linear(hidden_size, hidden_size)
        self.copy_key = nn.Linear(hidden_size, hidden_size)
        self.gates = nn.Linear(hidden_size, 2)  # of the end and of copies, in logits
        self.to_embedding = nn.Linear(hidden_size, embedding_size)

    def remember(
        self, hidden: torch.Tensor, input_ids: torch.Tensor, is_token: torch.Tensor
    ) -> WindowMemory:
        """Project the windows once, for all tokens of all answers.

        Args:
            hidden: (B, T, F) the encoder's last hidden states.
            input_ids: (B, T).
            is_token: (B, T) bool, False behind a window's end.
        """
        with torch.autocast(hidden.device.type, enabled=False):
            keys = self.copy_key(hidden.float())
        return WindowMemory(self.layers.remember(hidden, is_token), hidden.float(), keys, input_ids)

    def inputs(
        self, embeddings: torch.Tensor, ends: torch.Tensor, memory: WindowMemory
    ) -> torch.Tensor:
        """Return (B, R, L, F): the decoder's inputs for tokens that were written.

        Args:
            embeddings: (B, R, L, E) of the tokens.
            ends: (B, R, L, T) bool, the places where the text up to each token ends.
            memory: The windows.
        """
        share = ends.float() / ends.sum(-1, keepdim=True).clamp(min=1)  # (B, R, L, T)
        placed = (share.flatten(1, 2) @ memory.hidden).unflatten(1, ends.shape[1:3])
        # Embeddings are small numbers. Normalised, they are learned from as fast as hidden states.
        normed = F.layer_norm(embeddings.float(), embeddings.shape[-1:])
        found: torch.Tensor = self.from_embedding(normed) + self.from_place(placed)
        return found.float()

    def first_input(self, num_windows: int) -> torch.Tensor:
        """Return (B, 1, 1, F): the decoder's input before the first token."""
        return self.start.expand(num_windows, 1, 1, -1)

    def forward(
        self,
        inputs: torch.Tensor,
        follow: torch.Tensor,
        memory: WindowMemory,
        caches: list[Cache] | None = None,
    ) -> tuple[NextToken, list[Cache]]:
        """Return what may follow each token, and the caches with these tokens.

        Args:
            inputs: (B, R, L, F) of `inputs`; the first one of `first_input`.
            follow: (B, R, L, T) bool, the places that may be copied next.
            memory: The windows.
            caches: Of the tokens before; None if there are none.
        """
        hidden, caches = self.layers(inputs, memory.layers, caches)
        # In fp32 even under autocast, as the span head: bf16 has 8 bits, and scores would tie.
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.float()
            query = self.copy_query(hidden).flatten(1, 2)  # (B, R * L, F)
            scores = query @ memory.copy_keys.transpose(1, 2) / query.shape[-1] ** 0.5
            scores = scores.view(follow.shape).masked_fill(~follow, NEVER)
            end, copy = self.gates(hidden).unbind(-1)  # (B, R, L)
            can_copy = follow.any(-1)
            goes_on = F.logsigmoid(-end)
            copies = F.logsigmoid(copy).masked_fill(~can_copy, NEVER)
            writes = F.logsigmoid(-copy).masked_fill(~can_copy, 0.0)
            copied = (goes_on + copies).unsqueeze(-1) + scores.log_softmax(-1)
            return NextToken(
                F.logsigmoid(end),
                goes_on + writes,
                copied.masked_fill(~follow, NEVER),
                self.to_embedding(hidden),
            ), caches
