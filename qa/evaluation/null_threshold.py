"""Questions without an answer: odds against every answer, and the threshold on them.

A span's score is start plus end logit minus the null score of its window, so the best answer's
score is by how much the model prefers it to "no answer" in the window that favours it most. Its
negative is the question's null odds: the smallest, over windows, of null score minus best span.

Q: questions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from qa.data.examples import Example
from qa.metrics import DEFAULT_METRICS

MAIN_SCORE = "korquad1"  # what decides where every question has an answer
NO_ANSWER_METRICS = ("squad2", "klue-mrc")  # the first one decides where some have none
DEFAULT_THRESHOLD = 0.0  # as likely as not


def metrics_for(examples: Sequence[Example]) -> tuple[str, ...]:
    """Return the names of a data set's scores.

    If there are questions without an answer, these include the scores that know such questions.
    """
    return (*DEFAULT_METRICS, *(NO_ANSWER_METRICS if has_unanswerable(examples) else ()))


def main_score(names: Collection[str]) -> str:
    """Return the name of the score that decides: KorQuAD's, or SQuAD 2.0's where it is counted."""
    return NO_ANSWER_METRICS[0] if NO_ANSWER_METRICS[0] in names else MAIN_SCORE


def threshold_on(own: float | None, examples: Sequence[Example]) -> float | None:
    """Return the null odds above which a reader leaves questions of this data unanswered.

    None: it answers all. `own`: the reader's threshold, if it has one.
    """
    return DEFAULT_THRESHOLD if own is None and has_unanswerable(examples) else own


def has_unanswerable(examples: Sequence[Example]) -> bool:
    """Return whether any question has no answer."""
    return any(not example.gold_answers for example in examples)


def tune_threshold(values: np.ndarray, has_answer: np.ndarray, odds: np.ndarray) -> float:
    """Find the threshold with the best mean score if questions with larger odds are not answered.

    Args:
        values: (Q,) score of each question's answer; 0 for a question without a gold answer.
        has_answer: (Q,) bool, whether the question has a gold answer.
        odds: (Q,) null odds.

    Returns:
        The odds of the last question that is answered, as in SQuAD v2.0's script; of equally good
        thresholds the smallest. Below all odds if it is best to answer no question.
    """
    order = np.argsort(odds, kind="stable")
    # Answering the first n questions in this order adds the sum of the first n gains.
    gains = np.where(has_answer[order], values[order], -1.0)
    sums = np.concatenate(([0.0], np.cumsum(gains)))
    # A threshold cannot separate equal odds.
    is_cut = np.concatenate(([True], np.diff(odds[order]) > 0, [True]))
    best = int(np.where(is_cut, sums, -np.inf).argmax())
    return float(odds[order[best - 1]]) if best else float(odds[order[0]]) - 1.0
