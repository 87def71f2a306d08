"""Whether a tokenizer and a model belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from qa.engine.errors import notice, require
from qa.engine.json_files import read_json
from qa.models.pretrained import revision_of, saved_file

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from qa.models.readers import AnyReader


FEWEST_TOKENS = 0.9  # of the embeddings; many models have some more, to a round number


def require_vocabulary(
    name: str, tokenizer: PreTrainedTokenizerFast, num_embeddings: int | None
) -> None:
    """Raise UserError if the tokenizer of the model `name` gives ids that the model has no row for.

    One id too many is an error at whatever text holds its token, perhaps after hours. Far fewer are
    a `Notice`: the tokenizer may be another model's. `num_embeddings`: the model's rows; None if it
    has none, or they are not known.
    """
    if num_embeddings is None:
        return
    # With added tokens. Not the number of tokens: there may be gaps between ids.
    vocabulary = tokenizer.get_vocab()
    token, largest = max(vocabulary.items(), key=lambda each: each[1], default=("", -1))
    require(
        largest < num_embeddings,
        f"{name}: the tokenizer gives ids up to {largest:,} ({token!r}), but the model has"
        f" embeddings for {num_embeddings:,} tokens only: put the model's own tokenizer there, or,"
        " if tokens were added, call the model's"
        f" resize_token_embeddings({largest + 1}) and save it",
    )
    if largest + 1 < FEWEST_TOKENS * num_embeddings:
        notice(
            f"{name}: the tokenizer has {largest + 1:,} tokens, but the model has embeddings for"
            f" {num_embeddings:,}: if it is another model's, answers are nonsense; put the model's"
            " own there"
        )


def num_embeddings(model: AnyReader) -> int | None:
    """Return how many tokens a model has embeddings for; None for CANINE, which hashes."""
    table = getattr(model.model.get_input_embeddings(), "weight", None)
    return len(table) if isinstance(table, torch.Tensor) else None


def configured_embeddings(name: str) -> int | None:
    """Return the same as a model's configuration has it, without loading weights.

    None if it does not say. `name`: a directory or hub id; UserError if there is no such model.
    """
    path = saved_file(name, "config.json", revision_of(name))
    values: dict[str, Any] = {} if path is None else read_json(path, "a model's configuration")
    size = values.get("vocab_size")
    return size if isinstance(size, int) else None
