"""What an evaluation counts, question by question."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from qa.answering.nbest import Answer, null_odds
from qa.data.examples import Example
from qa.evaluation.null_threshold import tune_threshold
from qa.metrics import METRICS, Score
from qa.outputs.prediction_files import PredictionFiles


class Tally:
    """Scores and null odds of the questions answered so far; their answers go to `files`."""

    def __init__(self, scores: Sequence[Score], files: PredictionFiles | None) -> None:
        self.scores = scores
        self._files = files
        self._odds = array("d")
        self._has_answer = bytearray()

    @property
    def null_odds(self) -> np.ndarray:
        """(Q,) see qa.evaluation.null_threshold."""
        return np.array(self._odds)

    @property
    def has_answer(self) -> np.ndarray:
        """(Q,) whether the question has a gold answer."""
        return np.array(self._has_answer, dtype=bool)

    def add(self, example: Example, answers: Sequence[Answer]) -> None:
        """Count one question, with its answers, best first."""
        text = answers[0].text if answers else ""
        self._odds.append(null_odds(answers))
        self._has_answer.append(bool(example.gold_answers))
        for score in self.scores:
            score.add(text, example.gold_answers)
        if self._files is not None:
            self._files.write(example.id, answers)

    def best_threshold(self) -> float | None:
        """The threshold on null odds with the best mean of the first score that knows no answer.

        None if no question was counted, so that there is nothing to tune on.
        """
        if not self._odds:
            return None
        tuning_score = next(score for score in self.scores if METRICS[score.name].knows_no_answer)
        return tune_threshold(tuning_score.values[:, 1], self.has_answer, self.null_odds)

    def apply_threshold(self, threshold: float) -> None:
        """Count questions whose null odds exceed the threshold as left unanswered."""
        is_above = self.null_odds > threshold
        for score in self.scores:
            score.leave_unanswered(is_above)
        if self._files is not None:
            self._files.blank(is_above.tolist())
