"""Questions without an answer: odds against every answer, and the threshold on them.

A span's score is start plus end logit minus the null score of its window, so the best answer's
score is how far the reader prefers it to "no answer" in the window that speaks most for it. Its
negative is the question's null odds: the smallest, over windows, of null score minus best span.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qa.data.examples import Example
from qa.metrics import DEFAULT_METRICS

NO_ANSWER_METRICS = ("squad2", "klue-mrc")
DEFAULT_THRESHOLD = 0.0  # as likely as not


def metrics_for(examples: Sequence[Example]) -> tuple[str, ...]:
    """The scores of a data set: with questions that have no answer, those that know of it too."""
    return (*DEFAULT_METRICS, *(NO_ANSWER_METRICS if has_unanswerable(examples) else ()))


def has_unanswerable(examples: Sequence[Example]) -> bool:
    """Whether a question has no answer."""
    return any(not example.gold_answers for example in examples)


def tune_threshold(values: np.ndarray, has_answer: np.ndarray, odds: np.ndarray) -> float:
    """The threshold with the best mean score if questions with larger odds are left unanswered.

    values: (Q,) score of each question's answer, 0 for a question that has none. has_answer, odds:
    (Q,). The first of equals in the order of the odds; as SQuAD v2.0's script does, that is the
    odds of the last question that is answered. Below all odds if it is best to answer none.
    """
    order = np.argsort(odds, kind="stable")
    # Answering the first n questions in this order scores the sum of the first n gains.
    gains = np.where(has_answer[order], values[order], -1.0)
    sums = np.concatenate(([0.0], np.cumsum(gains)))
    # Equal odds fall on the same side.
    is_cut = np.concatenate(([True], np.diff(odds[order]) > 0, [True]))
    best = int(np.where(is_cut, sums, -np.inf).argmax())
    return float(odds[order[best - 1]]) if best else float(odds[order[0]]) - 1.0
