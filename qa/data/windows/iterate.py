"""Windows: a question with one slice of its context, in tokens, with offsets and labels.

Within a block of examples every distinct question and context is tokenised once; windows are cut
from the tokens. The result is what `tokenizer(question, context, truncation="only_second",
stride=...)` gives, token by token, without tokenising a context again for each of its questions.

T: tokens of a window, special tokens included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qa.data.examples import Example
from qa.data.windows.cut import Windows, cut_block
from qa.data.windows.template import make_template
from qa.data.windows.tokens import tokenize_blocks
from qa.engine.config import require_at_least
from qa.engine.errors import UserError, require


@dataclass(frozen=True)
class WindowOptions:
    """How contexts are cut. Lengths are in tokens.

    window_overlap: tokens that two neighbouring windows share. It is transformers' `stride`; the
    `doc_stride` of Google's and NVIDIA's scripts is the room for context minus this.
    """

    max_seq_length: int = 384
    window_overlap: int = 128
    max_question_length: int = 64

    def __post_init__(self) -> None:
        require_at_least(self, "max_seq_length", 1)
        require_at_least(self, "window_overlap", 0)
        require_at_least(self, "max_question_length", 1)


def check_options(options: WindowOptions, tokenizer: Any) -> None:
    """Raise UserError unless every question leaves more room for context than the overlap."""
    special = make_template(tokenizer).num_special
    room = options.max_seq_length - options.max_question_length - special
    require(
        room > options.window_overlap,
        f"window_overlap {options.window_overlap} must be smaller than the room for context, which"
        f" is {room} tokens (max_seq_length {options.max_seq_length} - max_question_length"
        f" {options.max_question_length} - {special} special tokens)",
    )


def require_fits(tokenizer: Any, model_limit: int | None, options: WindowOptions) -> None:
    """Raise UserError if a window is longer than the model has positions for."""
    if model_limit is not None and options.max_seq_length > model_limit:
        raise UserError(
            f"max_seq_length {options.max_seq_length} is more than the {model_limit} tokens the"
            " model has positions for"
        )
    check_options(options, tokenizer)


def iterate_windows(
    examples: list[Example], tokenizer: Any, options: WindowOptions
) -> Iterator[dict[str, Any]]:
    """Yield the windows of each example in order.

    A window is a dict: example_index (int), input_ids (T,), token_type_ids (T,) if the model takes
    them, offset_starts and offset_ends (T,) characters of the context that each token covers, -1
    for a token that is not context, start_position and end_position (token indices, both 0 if the
    answer is not in this window), start_trim and end_trim (characters of these tokens before and
    behind the answer, `NO_TRIM` without one), has_answer (bool), question_was_cut (bool), length
    (T).
    """
    for windows in window_columns(examples, tokenizer, options):
        rows = zip(*(column.tolist() for column in windows.values.values()), strict=True)
        bounds = windows.bounds.tolist()
        for row, start, end in zip(rows, bounds, bounds[1:], strict=False):
            window = dict(zip(windows.values, row, strict=True))
            window.update((name, column[start:end]) for name, column in windows.tokens.items())
            yield window


def window_columns(
    examples: list[Example], tokenizer: Any, options: WindowOptions, *, ahead: bool = False
) -> Iterator[Windows]:
    """The windows of `iterate_windows` as columns, so many at a time as are cut together.

    ahead: see `qa.data.windows.tokens.tokenize_blocks`.
    """
    template = make_template(tokenizer)
    for first, end, questions, contexts in tokenize_blocks(examples, tokenizer, ahead):
        yield from cut_block(examples[first:end], first, questions, contexts, template, options)
