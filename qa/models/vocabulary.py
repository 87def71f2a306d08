"""Whether a tokenizer and a model belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from qa.engine.errors import require

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from qa.models.span_reader import SpanReader


def require_vocabulary(name: str, tokenizer: PreTrainedTokenizerFast, model: SpanReader) -> None:
    """Raise UserError if the tokenizer of the model `name` gives ids that the model has no row for.

    One id too many is an error at whatever text holds its token, perhaps after hours.
    """
    table = getattr(model.model.get_input_embeddings(), "weight", None)
    if not isinstance(table, torch.Tensor):  # CANINE's, which hashes characters
        return
    # With added tokens. Not the number of tokens: there may be gaps between ids.
    vocabulary = tokenizer.get_vocab()
    token, largest = max(vocabulary.items(), key=lambda each: each[1], default=("", -1))
    require(
        largest < len(table),
        f"{name}: the tokenizer gives ids up to {largest:,} ({token!r}), but the model has"
        f" embeddings for {len(table):,} tokens only: put the model's own tokenizer there, or, if"
        f" tokens were added, call the model's resize_token_embeddings({largest + 1}) and save it",
    )
