"""The special tokens that a tokenizer puts around a question and its context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qa.engine.errors import require

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Template:
    """Where a tokenizer puts its special tokens: prefix question middle context suffix.

    Args:
        prefix: Ids of the special tokens before the question.
        middle: Ids of those between the question and the context.
        suffix: Ids of those behind the context.
        type_ids: Token types of the five parts: one for each special token, one for the whole
            question, one for the whole context; None if the model takes no token types.
    """

    prefix: list[int]
    middle: list[int]
    suffix: list[int]
    type_ids: tuple[list[int], int, list[int], int, list[int]] | None

    @property
    def num_special(self) -> int:
        """How many special tokens are in every window."""
        return len(self.prefix) + len(self.middle) + len(self.suffix)


def make_template(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Return how `tokenizer` joins a pair; raise UserError for a tokenizer that qa cannot use."""
    require(
        getattr(tokenizer, "is_fast", False),
        f"the tokenizer {type(tokenizer).__name__} gives no character offsets; qa needs a fast one"
        " (tokenizer.json)",
    )
    encoding = tokenizer("a", "b", return_token_type_ids=True)
    ids, types, parts = encoding["input_ids"], encoding["token_type_ids"], encoding.sequence_ids(0)
    require(
        0 in parts and 1 in parts and parts.index(0) < parts.index(1),
        "the tokenizer does not put the question before the context in a pair",
    )
    q_start, q_end = parts.index(0), len(parts) - parts[::-1].index(0)
    c_start, c_end = parts.index(1), len(parts) - parts[::-1].index(1)
    slices = (slice(0, q_start), slice(q_end, c_start), slice(c_end, len(ids)))
    prefix, middle, suffix = (ids[s] for s in slices)
    type_ids = None
    if "token_type_ids" in tokenizer.model_input_names:
        before, between, after = (types[s] for s in slices)
        type_ids = (before, types[q_start], between, types[c_start], after)
    return Template(prefix, middle, suffix, type_ids)
