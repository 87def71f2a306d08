"""Writing answers with an encoder-decoder of transformers, whose caches are kept and reordered.

B: windows, R: prefixes of answers of one window, T: tokens of the longest window, V: vocabulary.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

from qa.models.generative.copy_decoder import NEVER
from qa.models.generative.reading import Reading
from qa.models.generative.writer import Following

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Seq2SeqWriter:
    """Writes answers with an encoder-decoder; `CopyWriter` says what the methods return.

    Args:
        model: Writes.
        reading: The windows.
        start_id: The token before the first.
        end_id: The token that ends an answer.
    """

    def __init__(
        self, model: PreTrainedModel, reading: Reading, start_id: int, end_id: int
    ) -> None:
        self.model, self.reading = model, reading
        self.start_id, self.end_id = start_id, end_id
        # transformers renamed it: by its signature, since it warns of the old name.
        has_name = "cache" in inspect.signature(model.forward).parameters
        self._cache_name = "cache" if has_name else "past_key_values"
        self._cache: Any = None
        self._rows = 1  # prefixes of each window in the cache
        self._end = torch.tensor([end_id], device=reading.input_ids.device)
        self._windows = reading.memory

    def begin(self, follow: torch.Tensor) -> Following:
        """Return what may come first."""
        start = torch.full_like(self.reading.input_ids[:, :1], self.start_id)
        return self._write(start)

    def go_on(
        self,
        prefixes: torch.Tensor,
        tokens: torch.Tensor,
        ends: torch.Tensor,
        follow: torch.Tensor,
    ) -> Following:
        """Return what may follow prefixes that each get one more token."""
        window = torch.arange(len(prefixes), device=prefixes.device).unsqueeze(1)
        chosen = (window * self._rows + prefixes).flatten()
        self._cache.self_attention_cache.reorder_cache(chosen)
        rows = prefixes.shape[1]
        if rows != self._rows:
            # Each prefix's own copy of its window's keys and values, made once and not per token.
            of_window = (window * self._rows).expand(-1, rows).flatten()
            self._cache.cross_attention_cache.reorder_cache(of_window)
            self._windows = tuple(each.repeat_interleave(rows, 0) for each in self.reading.memory)
            self._rows = rows
        return self._write(tokens)

    def _write(self, tokens: torch.Tensor) -> Following:
        """Return what may follow, with these tokens, (B, R), behind those before."""
        from transformers.modeling_outputs import BaseModelOutput

        hidden, is_token = self._windows
        out = self.model(
            encoder_outputs=BaseModelOutput(hidden),
            attention_mask=is_token.long(),
            decoder_input_ids=tokens.reshape(-1, 1),
            use_cache=True,
            **{self._cache_name: self._cache},
        )
        self._cache = getattr(out, self._cache_name)
        found = out.logits.float().log_softmax(-1).view(*tokens.shape, -1)  # (B, R, V)
        end = found[..., self.end_id]
        places = self.reading.input_ids.unsqueeze(1).expand(-1, self._rows, -1)
        best = found.index_fill(2, self._end, NEVER).max(2)
        by_place = found.gather(2, places)
        return Following(end, by_place, torch.zeros_like(by_place), best.values, best.indices)
