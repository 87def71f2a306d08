"""Cuts tokenised contexts into windows, those of many questions at a time.

A window is prefix, question, middle, a slice of the context, suffix; the first, third and last are
special tokens. All five are ranges of one table of tokens, so windows are made by indexing it.
E: examples, W: windows, M: tokens of the table, N: tokens of all windows.
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

NO_TRIM = -100  # the trims of a window without the answer
NO_ANSWER_POSITION = 0  # the first token stands for "not in this window"
TOKENS_PER_CUT = 1_000_000  # of windows made at a time: enough to be fast, few enough for memory


@dataclass(frozen=True)
class Windows:
    """Windows as columns; `qa.data.windows.iterate.iterate_windows` says what they mean.

    Args:
        values: Name -> (W,), what a window has once.
        tokens: Name -> (N,) int32, what each token has, the windows concatenated.
        bounds: (W + 1,) index of the first token of each window, and N.
    """

    values: dict[str, np.ndarray]
    tokens: dict[str, np.ndarray]
    bounds: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Questions with their contexts, as ranges of the table of a block's tokens.

    Args:
        example_index: (E,).
        question_was_cut: (E,) bool.
        question_first: (E,) index in the table of the first token of the question that is kept.
        question_count: (E,) tokens that are kept: the last ones, since Korean asks at the end.
        context_first: (E,) index of the context's first token in the table.
        context_count: (E,) tokens of the whole context.
        capacity: (E,) tokens of context that fit into a window.
        answers: (E, 2) characters of the answer, or `NOWHERE`.
    """

    example_index: np.ndarray
    question_was_cut: np.ndarray
    question_first: np.ndarray
    question_count: np.ndarray
    context_first: np.ndarray
    context_count: np.ndarray
    capacity: np.ndarray
    answers: np.ndarray

    def select(self, rows: np.ndarray) -> Pairs:
        """Return the pairs at these indices."""
        return Pairs(*(getattr(self, field.name)[rows] for field in fields(self)))


def cut_block(
    examples: Sequence[Example],
    first_index: int,
    questions: Tokens,
    contexts: Tokens,
    template: Template,
    options: WindowOptions,
) -> Iterator[Windows]:
    """Yield the windows of a block's examples, about `TOKENS_PER_CUT` tokens at a time.

    `first_index` is the `example_index` of the first of them.
    """
    table = token_table(questions, contexts, template)
    question = np.array([questions.number[e.question] for e in examples])
    context = np.array([contexts.number[e.context] for e in examples])
    question_count = np.minimum(questions.count[question], options.max_question_length)
    kept_first = questions.first[question] + questions.count[question] - question_count
    pairs = Pairs(
        example_index=first_index + np.arange(len(examples)),
        question_was_cut=question_count < questions.count[question],
        question_first=template.num_special + kept_first,
        question_count=question_count,
        context_first=template.num_special + len(questions.ids) + contexts.first[context],
        context_count=contexts.count[context],
        capacity=options.max_seq_length - template.num_special - question_count,
        answers=first_answers(examples),
    )
    times = count_slices(pairs.context_count, pairs.capacity, options.window_overlap)
    num_tokens = np.cumsum(times * np.minimum(pairs.capacity, pairs.context_count))
    splits = np.flatnonzero(np.diff(num_tokens // TOKENS_PER_CUT)) + 1
    for rows in np.split(np.arange(len(examples)), splits):
        yield cut_pairs(pairs.select(rows), table, template, options.window_overlap)


def token_table(questions: Tokens, contexts: Tokens, template: Template) -> dict[str, np.ndarray]:
    """Return name -> (M,) int32 of prefix, middle, suffix, all questions and all contexts."""
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


def count_slices(num_tokens: np.ndarray, capacity: np.ndarray, overlap: int) -> np.ndarray:
    """Return (E,) how many slices, each sharing `overlap` with the next, cover all tokens."""
    step = capacity - overlap
    assert (step > 0).all(), "check_options was not called"
    # At least one, also for a context without tokens.
    counts: np.ndarray = 1 + np.maximum(0, -((capacity - num_tokens) // step))
    return counts


def cut_pairs(
    pairs: Pairs, table: dict[str, np.ndarray], template: Template, overlap: int
) -> Windows:
    """Return all windows of these pairs."""
    times = count_slices(pairs.context_count, pairs.capacity, overlap)
    pair = np.repeat(np.arange(len(times)), times)  # of each window
    # Where the slice of each window begins, counted from the first token of its context.
    start = ranges(np.zeros_like(times), times) * (pairs.capacity - overlap)[pair]
    slice_first = pairs.context_first[pair] + start
    slice_count = np.minimum(pairs.capacity[pair], pairs.context_count[pair] - start)
    question_count = pairs.question_count[pair]
    num_prefix, num_middle = len(template.prefix), len(template.middle)
    # Each window is five ranges of the table.
    first = (0, pairs.question_first[pair], num_prefix, slice_first, num_prefix + num_middle)
    count = (num_prefix, question_count, num_middle, slice_count, len(template.suffix))
    firsts, counts = (np.stack(np.broadcast_arrays(*parts), axis=1) for parts in (first, count))
    source = ranges(firsts.ravel(), counts.ravel())
    tokens = {name: column[source] for name, column in table.items()}
    length = counts.sum(axis=1)
    context_offset = num_prefix + question_count + num_middle
    values = {
        "example_index": pairs.example_index[pair],
        **label_windows(pairs, table, pair, slice_first, slice_count, context_offset),
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
    context_offset: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return where the answer is in each window, if the window has all of the answer's tokens.

    Args:
        pairs: Those that the windows are cut from.
        table: See `token_table`.
        pair: (W,) index of each window's pair.
        slice_first: (W,) index of the first token of the window's slice in the table.
        slice_count: (W,) tokens of the slice.
        context_offset: (W,) tokens of the window before the slice.

    Returns:
        Name -> (W,), the columns from start_position to has_answer.
    """
    starts, ends = table["offset_starts"], table["offset_ends"]
    # Found in the whole context, so that all windows agree on which tokens hold the answer.
    labels = label_spans(starts, ends, pairs.context_first, pairs.context_count, pairs.answers)
    # At least 0: an answer may begin or end in a blank between two tokens.
    start_trim = np.maximum(0, pairs.answers[:, 0] - starts[labels[:, 0]])
    end_trim = np.maximum(0, ends[labels[:, 1]] - pairs.answers[:, 1])
    first, last = labels[pair].T
    has_answer = (first >= slice_first) & (last < slice_first + slice_count)
    shift = context_offset - slice_first  # from an index in the table to one in the window
    return {
        "start_position": np.where(has_answer, first + shift, NO_ANSWER_POSITION),
        "end_position": np.where(has_answer, last + shift, NO_ANSWER_POSITION),
        "start_trim": np.where(has_answer, start_trim[pair], NO_TRIM),
        "end_trim": np.where(has_answer, end_trim[pair], NO_TRIM),
        "has_answer": has_answer,
    }
