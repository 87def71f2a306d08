"""Cuts tokenised contexts into windows, those of many questions at a time.

A window is prefix, question, middle, a slice of the context, suffix; the first, third and last are
special tokens. E: examples, W: windows, M: tokens of a block's texts, N: tokens of all windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from qa.data.examples import Example
from qa.data.windows.label import first_answers, label_spans
from qa.data.windows.template import Template
from qa.data.windows.tokens import Tokens, ranges

if TYPE_CHECKING:
    from qa.data.windows.options import WindowOptions

NO_TRIM = -100  # of a window without the answer
NO_ANSWER_POSITION = 0  # the first token stands for "not in this window"
TOKENS_PER_CUT = 1_000_000  # of windows made at a time: many to be fast, few to be held


@dataclass(frozen=True)
class Windows:
    """Windows as columns; `qa.data.windows.iterate.iterate_windows` says what they mean.

    values: name -> (W,). tokens: name -> (N,), the windows end to end. bounds: (W + 1,) where the
    tokens of each window begin, and where the last one ends.
    """

    values: dict[str, np.ndarray]
    tokens: dict[str, np.ndarray]
    bounds: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Questions with their contexts, by their place in the table of a block's tokens. All (E,).

    question_first, question_count: tokens of the question, as many as may be used; context_first,
    context_count: of the whole context; room: how many of them fit into a window.
    """

    example_index: np.ndarray
    question_was_cut: np.ndarray
    question_first: np.ndarray
    question_count: np.ndarray
    context_first: np.ndarray
    context_count: np.ndarray
    room: np.ndarray
    answers: np.ndarray

    def part(self, rows: np.ndarray) -> Pairs:
        """Some of the pairs."""
        return Pairs(*(getattr(self, field.name)[rows] for field in fields(self)))


def cut_block(
    examples: Sequence[Example],
    first_index: int,
    questions: Tokens,
    contexts: Tokens,
    template: Template,
    options: WindowOptions,
) -> Iterator[Windows]:
    """The windows of these examples, which are numbered from `first_index`, a part at a time."""
    table = token_table(questions, contexts, template)
    question = np.array([questions.number[e.question] for e in examples])
    context = np.array([contexts.number[e.context] for e in examples])
    question_count = np.minimum(questions.count[question], options.max_question_length)
    pairs = Pairs(
        example_index=first_index + np.arange(len(examples)),
        question_was_cut=question_count < questions.count[question],
        question_first=template.num_special + questions.first[question],
        question_count=question_count,
        context_first=template.num_special + len(questions.ids) + contexts.first[context],
        context_count=contexts.count[context],
        room=options.max_seq_length - template.num_special - question_count,
        answers=first_answers(examples),
    )
    times = count_slices(pairs.context_count, pairs.room, options.window_overlap)
    num_tokens = np.cumsum(times * np.minimum(pairs.room, pairs.context_count))
    splits = np.flatnonzero(np.diff(num_tokens // TOKENS_PER_CUT)) + 1
    for rows in np.split(np.arange(len(examples)), splits):
        yield cut_pairs(pairs.part(rows), table, template, options.window_overlap)


def token_table(questions: Tokens, contexts: Tokens, template: Template) -> dict[str, np.ndarray]:
    """name -> (M,) int32: prefix, middle, suffix, the tokens of all questions, of all contexts."""
    special = [*template.prefix, *template.middle, *template.suffix]
    outside = np.full(len(special) + len(questions.ids), -1)
    columns = {
        "input_ids": (special, questions.ids, contexts.ids),
        "offset_starts": (outside, contexts.offset_starts),
        "offset_ends": (outside, contexts.offset_ends),
    }
    if template.type_ids is not None:
        before, question_type, between, context_type, after = template.type_ids
        columns["token_type_ids"] = (
            [*before, *between, *after],
            np.full(len(questions.ids), question_type),
            np.full(len(contexts.ids), context_type),
        )
    return {name: np.concatenate(parts).astype(np.int32) for name, parts in columns.items()}


def count_slices(num_tokens: np.ndarray, room: np.ndarray, overlap: int) -> np.ndarray:
    """How many slices of `room` tokens that share `overlap` reach to the last token; at least 1."""
    step = room - overlap
    assert (step > 0).all(), "check_options was not called"
    return 1 + np.maximum(0, -((room - num_tokens) // step))


def cut_pairs(
    pairs: Pairs, table: dict[str, np.ndarray], template: Template, overlap: int
) -> Windows:
    """All windows of some pairs."""
    times = count_slices(pairs.context_count, pairs.room, overlap)
    pair = np.repeat(np.arange(len(times)), times)  # of each window
    start = ranges(np.zeros_like(times), times) * (pairs.room - overlap)[pair]  # of its slice
    slice_first = pairs.context_first[pair] + start
    slice_count = np.minimum(pairs.room[pair], pairs.context_count[pair] - start)
    question_count = pairs.question_count[pair]
    num_prefix, num_middle = len(template.prefix), len(template.middle)
    # Each window is five ranges of the table.
    first = (0, pairs.question_first[pair], num_prefix, slice_first, num_prefix + num_middle)
    count = (num_prefix, question_count, num_middle, slice_count, len(template.suffix))
    firsts, counts = (np.stack(np.broadcast_arrays(*parts), axis=1) for parts in (first, count))
    source = ranges(firsts.ravel(), counts.ravel())
    tokens = {name: column[source] for name, column in table.items()}
    length = counts.sum(axis=1)
    head = num_prefix + question_count + num_middle
    values = {
        "example_index": pairs.example_index[pair],
        **label_windows(pairs, table, pair, slice_first, slice_count, head),
        "question_was_cut": pairs.question_was_cut[pair],
        "length": length,
    }
    return Windows(values, tokens, np.concatenate(([0], np.cumsum(length))))


def label_windows(
    pairs: Pairs,
    table: dict[str, np.ndarray],
    pair: np.ndarray,
    slice_first: np.ndarray,
    slice_count: np.ndarray,
    head: np.ndarray,
) -> dict[str, np.ndarray]:
    """The answer's place in each window, if it holds all of the answer's tokens.

    pair: (W,) which one a window is of. slice_first, slice_count: (W,) its part of the context, in
    the table. head: (W,) tokens of the window before that.
    """
    starts, ends = table["offset_starts"], table["offset_ends"]
    # Tokens of the whole context, so that every window agrees on which ones hold the answer.
    labels = label_spans(starts, ends, pairs.context_first, pairs.context_count, pairs.answers)
    # An answer may begin or end in a blank between two tokens.
    start_trim = np.maximum(0, pairs.answers[:, 0] - starts[labels[:, 0]])
    end_trim = np.maximum(0, ends[labels[:, 1]] - pairs.answers[:, 1])
    first, last = labels[pair].T
    has_answer = (first >= slice_first) & (last < slice_first + slice_count)
    return {
        "start_position": np.where(has_answer, first - slice_first + head, NO_ANSWER_POSITION),
        "end_position": np.where(has_answer, last - slice_first + head, NO_ANSWER_POSITION),
        "start_trim": np.where(has_answer, start_trim[pair], NO_TRIM),
        "end_trim": np.where(has_answer, end_trim[pair], NO_TRIM),
        "has_answer": has_answer,
    }
