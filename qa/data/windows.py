"""Windows: a question with one slice of its context, in tokens, with offsets and labels.

Within a block of examples every distinct question and context is tokenised once; windows are cut
from the tokens. The result is what `tokenizer(question, context, truncation="only_second",
stride=...)` gives, token by token, without tokenising a context again for each of its questions.

T: tokens of a window, special tokens included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qa.data.examples import Example
from qa.engine.config import require_at_least
from qa.engine.errors import UserError, require

EXAMPLES_PER_CALL = 256  # enough for the tokenizer to work in parallel, little enough to hold
CHARACTERS_PER_CALL = 1_000_000  # so that documents take no more memory for being long
LAST_BLANK = 0x3000  # the ideographic space has the highest code of all blanks
_IS_BLANK = np.array([chr(code).isspace() for code in range(LAST_BLANK + 1)] + [False])
NO_TRIM = -100  # of a window without the answer
NO_ANSWER_POSITION = 0  # the first token stands for "not in this window"


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


@dataclass(frozen=True)
class Template:
    """Where a tokenizer puts its special tokens: prefix question middle context suffix."""

    prefix: list[int]
    middle: list[int]
    suffix: list[int]
    type_ids: tuple[list[int], int, list[int], int, list[int]] | None

    @property
    def num_special(self) -> int:
        """Special tokens in every window."""
        return len(self.prefix) + len(self.middle) + len(self.suffix)


def make_template(tokenizer: Any) -> Template:
    """Read off how `tokenizer` joins a pair; UserError for one that qa cannot use."""
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
    template = make_template(tokenizer)
    for first, end in example_blocks(examples):
        chunk = list(enumerate(examples[first:end], first))
        questions = _tokenize(tokenizer, {e.question for _, e in chunk})
        contexts = _tokenize(tokenizer, {e.context for _, e in chunk})
        for index, example in chunk:
            question_ids = questions[example.question][0]
            cut = len(question_ids) > options.max_question_length
            question_ids = question_ids[: options.max_question_length]
            for window in _cut(
                example, question_ids, *contexts[example.context], template, options
            ):
                yield {"example_index": index, **window, "question_was_cut": cut}


def example_blocks(examples: Sequence[Example]) -> Iterator[tuple[int, int]]:
    """(first, end) of examples to tokenise together: fewer if their contexts are long."""
    first, characters, contexts = 0, 0, set[str]()
    for i, example in enumerate(examples):
        added = 0 if example.context in contexts else len(example.context)
        is_long = added > 0 and characters + added > CHARACTERS_PER_CALL
        is_full = is_long or i - first >= EXAMPLES_PER_CALL
        if i > first and is_full:
            yield first, i
            first, characters, contexts, added = i, 0, set(), len(example.context)
        contexts.add(example.context)
        characters += added
    if len(examples) > first:
        yield first, len(examples)


def context_slices(num_tokens: int, room: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Slices of `room` tokens that share `overlap`; the last one ends at the last token."""
    assert room > overlap, "check_options was not called"  # it would never end
    start = 0
    while True:
        end = min(start + room, num_tokens)
        yield start, end
        if end == num_tokens:
            return
        start += room - overlap


def label_span(
    offset_starts: np.ndarray, offset_ends: np.ndarray, answer_start: int, answer_end: int
) -> tuple[int, int] | None:
    """First and last token that cover a character of the answer; None if no token does.

    offset_starts, offset_ends: (tokens,) characters, equal for a token that covers nothing.
    """
    covers = (offset_starts < answer_end) & (offset_ends > answer_start)
    tokens = np.flatnonzero(covers & (offset_ends > offset_starts))
    return (int(tokens[0]), int(tokens[-1])) if len(tokens) else None


def _tokenize(tokenizer: Any, texts: set[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """text -> token ids (n,) and offsets (n, 2) in characters, blanks at the ends left out."""
    ordered = sorted(texts)
    # The library below transformers' wrapper, which takes as long again to copy the outcome.
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()  # settings of an earlier call through the wrapper
    backend.no_padding()
    result = {}
    for text, encoding in zip(
        ordered, backend.encode_batch(ordered, add_special_tokens=False), strict=True
    ):
        spans = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
        result[text] = np.array(encoding.ids, dtype=np.int32), _without_blanks(text, spans)
    return result


def _without_blanks(text: str, spans: np.ndarray) -> np.ndarray:
    """Move each span's ends inwards over white space, which some tokenizers count to a token."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    blank = np.append(_IS_BLANK[np.minimum(codes, LAST_BLANK + 1)], False)
    is_solid = spans[:, 1] > spans[:, 0]
    starts, ends = spans[is_solid, 0], spans[is_solid, 1]
    if not (blank[starts].any() or blank[ends - 1].any()):
        return spans  # as most tokenizers give them
    # next_solid[i]: first character at or after i that is no blank; last_solid_end likewise.
    positions = np.arange(len(text) + 1)
    next_solid = np.minimum.accumulate(np.where(blank, len(text), positions)[::-1])[::-1]
    solid_ends = np.concatenate(([0], np.where(blank[:-1], 0, positions[1:])))
    last_solid_end = np.maximum.accumulate(solid_ends)
    starts = next_solid[spans[:, 0]]
    ends = last_solid_end[spans[:, 1]]
    starts = np.minimum(starts, spans[:, 1])  # a blank token becomes empty, not reversed
    return np.stack((starts, np.maximum(starts, ends)), axis=1).astype(np.int32)


def _cut(
    example: Example,
    question_ids: np.ndarray,
    context_ids: np.ndarray,
    offsets: np.ndarray,
    template: Template,
    options: WindowOptions,
) -> Iterator[dict[str, Any]]:
    """The windows of one example."""
    room = options.max_seq_length - template.num_special - len(question_ids)
    head = len(template.prefix) + len(question_ids) + len(template.middle)
    tail = len(template.suffix)
    answer = _answer_characters(example)
    # Tokens of the whole context, so that every window agrees on which ones hold the answer.
    label = label_span(offsets[:, 0], offsets[:, 1], *answer) if answer is not None else None
    for start, end in context_slices(len(context_ids), room, options.window_overlap):
        ids = np.concatenate(
            (
                template.prefix,
                question_ids,
                template.middle,
                context_ids[start:end],
                template.suffix,
            )
        ).astype(np.int32)
        spans = np.full((head + end - start + tail, 2), -1, dtype=np.int32)
        spans[head : head + end - start] = offsets[start:end]
        has_answer = label is not None and start <= label[0] and label[1] < end
        first, last = NO_ANSWER_POSITION, NO_ANSWER_POSITION
        trims = (NO_TRIM, NO_TRIM)
        if answer is not None and label is not None and has_answer:
            first, last = head + label[0] - start, head + label[1] - start
            trims = (
                # An answer may begin or end in a blank between two tokens.
                max(0, answer[0] - int(spans[first, 0])),
                max(0, int(spans[last, 1]) - answer[1]),
            )
        window = {
            "input_ids": ids,
            "offset_starts": spans[:, 0],
            "offset_ends": spans[:, 1],
            "start_position": first,
            "end_position": last,
            "start_trim": trims[0],
            "end_trim": trims[1],
            "has_answer": has_answer,
            "length": len(ids),
        }
        if template.type_ids is not None:
            before, question_type, between, context_type, after = template.type_ids
            window["token_type_ids"] = np.array(
                [*before, *[question_type] * len(question_ids), *between]
                + [*[context_type] * (end - start), *after],
                dtype=np.int32,
            )
        yield window


def _answer_characters(example: Example) -> tuple[int, int] | None:
    """(start, end) of the first gold answer without the blanks around it; None if there is none."""
    if not example.answers or not example.answers[0].strip():
        return None
    text, start = example.answers[0], example.answer_starts[0]
    start += len(text) - len(text.lstrip())
    return start, start + len(text.strip())


def require_fits(tokenizer: Any, model_limit: int | None, options: WindowOptions) -> None:
    """Raise UserError if a window is longer than the model has positions for."""
    if model_limit is not None and options.max_seq_length > model_limit:
        raise UserError(
            f"max_seq_length {options.max_seq_length} is more than the {model_limit} tokens the"
            " model has positions for"
        )
    check_options(options, tokenizer)
