"""How contexts are cut into windows. Imports nothing heavy, since `qa.config` imports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qa.data.windows.template import make_template
from qa.engine.config import option, require_at_least
from qa.engine.errors import UserError, require

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class WindowOptions:
    """How contexts are cut into windows; the options' help texts say what each is."""

    max_seq_length: int = option(
        384, "tokens of a window, question and special tokens included", resume="same"
    )
    window_overlap: int = option(
        128,
        "tokens that neighbouring windows share (transformers: stride; the doc_stride of Google's"
        " and NVIDIA's scripts is the room for context minus this)",
        resume="same",
    )
    max_question_length: int = option(
        64, "tokens; of longer questions only the last ones are read", resume="same"
    )

    def __post_init__(self) -> None:
        require_at_least(self, "max_seq_length", 1)
        require_at_least(self, "window_overlap", 0)
        require_at_least(self, "max_question_length", 1)


def check_options(options: WindowOptions, tokenizer: PreTrainedTokenizerFast) -> None:
    """Raise UserError unless a window always holds more tokens of context than the overlap."""
    special = make_template(tokenizer).num_special
    capacity = options.max_seq_length - options.max_question_length - special
    require(
        capacity > options.window_overlap,
        f"window_overlap {options.window_overlap} must be smaller than the room for context, which"
        f" is {capacity} tokens (max_seq_length {options.max_seq_length} - max_question_length"
        f" {options.max_question_length} - {special} special tokens)",
    )


def require_fits(
    tokenizer: PreTrainedTokenizerFast, model_limit: int | None, options: WindowOptions
) -> None:
    """Raise UserError if windows do not fit the tokenizer or are longer than `model_limit` tokens.

    The limit is the number of positions of the model, None if it has no limit.
    """
    if model_limit is not None and options.max_seq_length > model_limit:
        raise UserError(
            f"max_seq_length {options.max_seq_length} is more than the {model_limit} tokens the"
            " model has positions for"
        )
    check_options(options, tokenizer)
