"""Scoring predicted texts, wherever they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qa.data.examples import Example
from qa.metrics import Score


def score_texts(name: str, texts: Mapping[str, str | None], examples: Sequence[Example]) -> Score:
    """Return one official score of predicted texts.

    Args:
        name: The score, a key of `METRICS`.
        texts: Id of a question -> its text, "" if it is left unanswered. One without a text has no
            prediction.
        examples: The questions, with gold answers.
    """
    score = Score(name)
    for example in examples:
        score.add(texts.get(example.id), example.gold_answers)
    return score
