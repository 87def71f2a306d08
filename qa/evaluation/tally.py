"""What an evaluation counts, question by question. Q: questions."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence

import numpy as np

from qa.answering.in_flight import BlockAnswers
from qa.answering.nbest import Answer, null_odds
from qa.data.examples import Example
from qa.evaluation.null_threshold import tune_threshold
from qa.metrics import METRICS, Score
from qa.outputs.prediction_files import PredictionFiles


class Tally:
    """Scores and null odds of the questions answered so far; their answers go to `files`."""

    def __init__(self, scores: Sequence[Score], files: PredictionFiles | None) -> None:
        self.scores = scores
        self.loss_sum = 0.0
        self.num_windows = 0
        self.num_items = 0  # that the loss is of
        self.decode_seconds = 0.0  # spent on decoding and scoring
        self._files = files
        self._odds = array("d")
        self._has_answer = bytearray()
        self._is_outside = bytearray()
        self._spans = array("q")

    @property
    def outside_context(self) -> float | None:
        """Share of the answerable questions, in %, whose freely written answer is not there.

        None if nothing was written freely.
        """
        found = self._is_outside
        return 100 * sum(found) / len(found) if found else None

    @property
    def null_odds(self) -> np.ndarray:
        """(Q,) float64; see qa.evaluation.null_threshold."""
        return np.array(self._odds)

    @property
    def has_answer(self) -> np.ndarray:
        """(Q,) bool, whether the question has a gold answer."""
        return np.array(self._has_answer, dtype=bool)

    @property
    def spans(self) -> np.ndarray:
        """(Q, 2) int64, where the best answer starts and ends; 0, 0: there is none."""
        return np.array(self._spans, dtype=np.int64).reshape(-1, 2)

    def add_block(
        self, examples: Sequence[Example], found: BlockAnswers, counts_decoding: bool
    ) -> None:
        """Count the questions of a block, its loss and its time.

        Args:
            examples: The questions.
            found: Their answers.
            counts_decoding: Whether the time that decoding took counts too, not only scoring.
        """
        started = time.perf_counter()
        for example, answers in zip(examples, found.answers, strict=True):
            self.add(example, answers)
        self.loss_sum += found.loss_sum
        self.num_windows += found.num_windows
        self.num_items += found.num_items
        if found.is_outside:
            pairs = zip(examples, found.is_outside, strict=True)
            self._is_outside.extend(is_out for each, is_out in pairs if each.gold_answers)
        self.decode_seconds += time.perf_counter() - started
        if counts_decoding:
            self.decode_seconds += found.decode_seconds

    def add(self, example: Example, answers: Sequence[Answer]) -> None:
        """Count one question with its answers, best first."""
        text = answers[0].text if answers else ""
        self._odds.append(null_odds(answers))
        self._has_answer.append(bool(example.gold_answers))
        self._spans.extend((answers[0].start, answers[0].end) if answers else (0, 0))
        for score in self.scores:
            score.add(text, example.gold_answers)
        if self._files is not None:
            self._files.write(example.id, answers)

    def best_threshold(self) -> float | None:
        """Find the best threshold on null odds; None if no question was counted.

        It is tuned for the first score that knows questions without an answer.
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
