"""Which tokens hold an answer, and how many of their characters are not the answer's.

E: examples. Spans of characters end before their second number; labels name the last token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qa.data.examples import Example
from qa.data.windows.tokens import ranges

NOWHERE = (-1, -1)  # of an answer, or of its tokens


def first_answers(examples: Sequence[Example]) -> np.ndarray:
    """(E, 2) characters of the first gold answers without the blanks around them, or `NOWHERE`."""
    answers = [(e.answers[0], e.answer_starts[0]) if e.answers else ("", 0) for e in examples]
    spans = [bare_span(*answer) if answer[0].strip() else NOWHERE for answer in answers]
    return np.array(spans, dtype=np.int32)


def bare_span(text: str, start: int) -> tuple[int, int]:
    """(start, end) characters of an answer, which begins at `start`, without its outer blanks."""
    start += len(text) - len(text.lstrip())
    return start, start + len(text.strip())


def label_spans(
    starts: np.ndarray, ends: np.ndarray, first: np.ndarray, count: np.ndarray, answers: np.ndarray
) -> np.ndarray:
    """(E, 2) the first and the last token that cover a character of each answer, or `NOWHERE`.

    starts, ends: characters that tokens cover, equal for one that covers nothing. first, count:
    (E,) which of these tokens are each example's context. answers: (E, 2) characters.
    """
    token = ranges(first, count)  # of every context, as often as it stands under a question
    solid_starts = np.where(starts < ends, starts, np.iinfo(starts.dtype).max)
    covers = solid_starts[token] < answers[:, 1].repeat(count)
    covers &= ends[token] > answers[:, 0].repeat(count)
    found = np.flatnonzero(covers)  # in the order of examples, then of tokens
    example = np.searchsorted(np.cumsum(count), found, side="right")
    labelled, begin, times = np.unique(example, return_index=True, return_counts=True)
    labels = np.full((len(answers), 2), NOWHERE)
    labels[labelled, 0] = token[found[begin]]
    labels[labelled, 1] = token[found[begin + times - 1]]
    return labels
