"""A small pre-norm transformer decoder that reads a window and writes an answer.

B: windows, R: prefixes of answers of one window, L: tokens of a prefix, T: tokens of the longest
window, F: hidden size, H: heads, D: head width.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F


class Memory(NamedTuple):
    """The windows that answers are written about, projected once for all tokens of all answers."""

    keys_values: list[tuple[torch.Tensor, torch.Tensor]]  # of each layer: (B, H, T, D) both
    is_token: torch.Tensor  # (B, T) bool, False behind a window's end


class Cache(NamedTuple):
    """A layer's keys and values of the tokens written so far."""

    keys: torch.Tensor  # (B, R, H, L, D)
    values: torch.Tensor  # (B, R, H, L, D)

    def select(self, prefixes: torch.Tensor) -> Cache:
        """Return those of the prefixes (B, R'), indices into the R of each window."""
        index = prefixes[:, :, None, None, None].expand(-1, -1, *self.keys.shape[2:])
        return Cache(self.keys.gather(1, index), self.values.gather(1, index))


class Decoder(nn.Module):
    """Layers of attention to what is written, attention to the window, and a feed-forward part.

    Args:
        hidden_size: F, also that of the encoder.
        num_heads: H.
        num_layers: How many layers.
        dropout: Probability, of what each part adds to the hidden states.
    """

    def __init__(self, hidden_size: int, num_heads: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DecoderLayer(hidden_size, num_heads, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_size)

    def remember(self, hidden: torch.Tensor, is_token: torch.Tensor) -> Memory:
        """Project the encoder's hidden states (B, T, F) for the attention of every layer."""
        layers = [cast("DecoderLayer", layer) for layer in self.layers]
        return Memory([layer.remember(hidden) for layer in layers], is_token)

    def forward(
        self, inputs: torch.Tensor, memory: Memory, caches: list[Cache] | None = None
    ) -> tuple[torch.Tensor, list[Cache]]:
        """Return the hidden states of these tokens, (B, R, L, F), and the caches with them.

        Args:
            inputs: (B, R, L, F) the tokens that follow those in the caches; one if there are any.
            memory: From `remember`.
            caches: Of each layer; None at the first token of the prefixes.
        """
        hidden, grown = inputs, []
        for number, layer in enumerate(self.layers):
            before = None if caches is None else caches[number]
            keys_values = memory.keys_values[number]
            hidden, cache = layer(hidden, keys_values, memory.is_token, before)
            grown.append(cache)
        return self.norm(hidden), grown


class DecoderLayer(nn.Module):
    """One layer of a `Decoder`; its arguments are that one's."""

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = nn.Dropout(dropout)
        self.self_norm = nn.LayerNorm(hidden_size)
        self.self_inputs = nn.Linear(hidden_size, 3 * hidden_size)
        self.self_output = nn.Linear(hidden_size, hidden_size)
        self.cross_norm = nn.LayerNorm(hidden_size)
        self.cross_query = nn.Linear(hidden_size, hidden_size)
        self.cross_memory = nn.Linear(hidden_size, 2 * hidden_size)
        self.cross_output = nn.Linear(hidden_size, hidden_size)
        self.feed_norm = nn.LayerNorm(hidden_size)
        self.feed_up = nn.Linear(hidden_size, 4 * hidden_size)
        self.feed_down = nn.Linear(4 * hidden_size, hidden_size)

    def remember(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values of the window's tokens, (B, H, T, D) each."""
        keys, values = self.cross_memory(hidden).chunk(2, dim=-1)
        return self._heads(keys), self._heads(values)

    def forward(
        self,
        hidden: torch.Tensor,
        memory: tuple[torch.Tensor, torch.Tensor],
        is_token: torch.Tensor,
        cache: Cache | None,
    ) -> tuple[torch.Tensor, Cache]:
        """Return hidden states like the given ones, (B, R, L, F), and the cache with them."""
        query, key, value = self.self_inputs(self.self_norm(hidden)).chunk(3, dim=-1)
        query, key, value = (self._heads(each) for each in (query, key, value))  # (B, R, H, L, D)
        if cache is not None:  # then the one token attends to all
            key, value = torch.cat((cache.keys, key), 3), torch.cat((cache.values, value), 3)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=cache is None)
        hidden = hidden + self.dropout(self.self_output(self._joined(attended)))
        # To the window all tokens of all prefixes attend alike: (B, R * L, F).
        query = self._heads(self.cross_query(self.cross_norm(hidden)).flatten(1, 2))
        attended = F.scaled_dot_product_attention(
            query, *memory, attn_mask=is_token[:, None, None]
        )  # (B, H, R * L, D)
        attended = self._joined(attended).view(hidden.shape)
        hidden = hidden + self.dropout(self.cross_output(attended))
        fed = self.feed_down(F.gelu(self.feed_up(self.feed_norm(hidden))))
        return hidden + self.dropout(fed), Cache(key, value)

    def _heads(self, states: torch.Tensor) -> torch.Tensor:
        """Turn (..., L, F) into (..., H, L, D)."""
        return states.view(*states.shape[:-1], self.num_heads, -1).transpose(-3, -2)

    def _joined(self, states: torch.Tensor) -> torch.Tensor:
        """Turn (..., H, L, D) into (..., L, F)."""
        return states.transpose(-3, -2).flatten(-2)
