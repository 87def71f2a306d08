"""Which tokens an answer is in.

E: examples. Spans of characters are (start, end) without the end; spans of tokens (first, last).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qa.data.examples import Example
from qa.data.windows.tokens import ranges

NOWHERE = (-1, -1)  # the span of an answer that there is not, or that no token covers


def first_answers(examples: Sequence[Example]) -> np.ndarray:
    """Return the (E, 2) characters of the first gold answers without outer blanks, or `NOWHERE`."""
    answers = [(e.answers[0], e.answer_starts[0]) if e.answers else ("", 0) for e in examples]
    spans = [bare_span(*answer) if answer[0].strip() else NOWHERE for answer in answers]
    return np.array(spans, dtype=np.int32)


def bare_span(text: str, start: int) -> tuple[int, int]:
    """Return the (start, end) characters of an answer at `start`, without its outer blanks."""
    start += len(text) - len(text.lstrip())
    return start, start + len(text.strip())


def label_spans(
    starts: np.ndarray, ends: np.ndarray, first: np.ndarray, count: np.ndarray, answers: np.ndarray
) -> np.ndarray:
    """Return the first and the last token that cover a character of each answer.

    Args:
        starts: (M,) first character that each token covers.
        ends: (M,) end of these characters; equal to `starts` for a token that covers none.
        first: (E,) first of these tokens that is in the example's context.
        count: (E,) tokens of the context.
        answers: (E, 2) characters of the answer, or `NOWHERE`.

    Returns:
        (E, 2) indices into the M tokens, or `NOWHERE`.
    """
    token = ranges(first, count)  # of every context, once for each of its questions
    solid_starts = np.where(starts < ends, starts, np.iinfo(starts.dtype).max)
    covers = solid_starts[token] < answers[:, 1].repeat(count)
    covers &= ends[token] > answers[:, 0].repeat(count)
    found = np.flatnonzero(covers)  # sorted by example, then by token
    example = np.searchsorted(np.cumsum(count), found, side="right")
    labelled, begin, times = np.unique(example, return_index=True, return_counts=True)
    labels = np.full((len(answers), 2), NOWHERE)
    labels[labelled, 0] = token[found[begin]]
    labels[labelled, 1] = token[found[begin + times - 1]]
    return labels
