"""Windows: a question with one slice of its context, in tokens, with offsets and labels.

Within a block of examples every distinct question and context is tokenised once; windows are cut
from the tokens. The result is what `tokenizer(question, context, truncation="only_second",
stride=...)` gives, token by token, without tokenising a context again for each of its questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qa.data.examples import Example
from qa.data.windows.coverage import Coverage
from qa.data.windows.cut import Windows, cut_block
from qa.data.windows.options import WindowOptions
from qa.data.windows.template import make_template
from qa.data.windows.tokens import tokenize_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def iterate_windows(
    examples: list[Example],
    tokenizer: PreTrainedTokenizerFast,
    options: WindowOptions,
    coverage: Coverage | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the windows of each example in order, each as a dict; `coverage` counts them.

    With T, the tokens of a window, special tokens included, and all arrays int32:

        example_index: int.
        input_ids: (T,).
        token_type_ids: (T,); only if the model takes them.
        offset_starts, offset_ends: (T,) characters of the context that each token covers; -1 for a
            token that is not context.
        start_position, end_position: First and last token of the answer; both 0 if the answer is
            not in this window.
        start_trim, end_trim: Characters of these two tokens before and behind the answer; `NO_TRIM`
            if the answer is not in this window.
        has_answer: Whether the answer is in this window.
        question_was_cut: Whether the question is longer than `options` allow; the window has its
            last tokens then.
        length: T.
    """
    for windows in window_columns(examples, tokenizer, options):
        if coverage is not None:
            coverage.add(examples, windows)
        yield from iterate_rows(windows)


def iterate_rows(windows: Windows) -> Iterator[dict[str, Any]]:
    """Yield each of these windows as a dict, whose arrays are parts of the columns."""
    rows = zip(*(column.tolist() for column in windows.values.values()), strict=True)
    bounds = windows.bounds.tolist()
    for row, start, end in zip(rows, bounds, bounds[1:], strict=False):
        window = dict(zip(windows.values, row, strict=True))
        for name, column in windows.tokens.items():
            window[name] = column[start:end]
        yield window


def window_columns(
    examples: list[Example],
    tokenizer: PreTrainedTokenizerFast,
    options: WindowOptions,
    *,
    ahead: bool = False,
) -> Iterator[Windows]:
    """Yield the windows of `iterate_windows` as columns, as many at a time as are cut together.

    `ahead` tokenises one block ahead; see `qa.data.windows.tokens.tokenize_blocks`.
    """
    template = make_template(tokenizer)
    for first, end, questions, contexts in tokenize_blocks(examples, tokenizer, ahead):
        yield from cut_block(examples[first:end], first, questions, contexts, template, options)
