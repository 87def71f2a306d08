"""One prediction file, scored by every official score that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qa.evaluation.texts import score_texts
from qa.metrics.no_answer import apply_threshold, best_thresholds
from qa.metrics.score import summarise, summary_intervals

if TYPE_CHECKING:
    import numpy as np

    from qa.data.examples import Example


@dataclass(frozen=True)
class ScoredFile:
    """The official scores of one prediction file, by name."""

    path: str
    results: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]]
    values: dict[str, np.ndarray]  # (Q, 2) of Q questions each, as the results count them

    def as_json(self) -> dict[str, Any]:
        """Return the file's part of metrics.json."""
        return {"predictions": self.path, **self.results, "intervals": self.intervals}


def score_file(
    path: str,
    names: Sequence[str],
    predictions: Mapping[str, str],
    examples: Sequence[Example],
    na_probs: Mapping[str, float] | None,
    na_prob_threshold: float,
) -> ScoredFile:
    """Score one prediction file.

    Args:
        path: The file, for the report.
        names: The official scores.
        predictions: Id -> predicted text, "" for no answer.
        examples: The questions, with gold answers.
        na_probs: Id -> probability that the question has no answer, for squad2; None without.
        na_prob_threshold: A question with a larger probability counts as unanswered.
    """
    file = ScoredFile(path, {}, {}, {})
    for name in names:
        score = score_texts(name, predictions, examples)
        values, has_answer, best = score.values, score.has_answer, {}
        if name == "squad2" and na_probs is not None:
            ids = [example.id for example in examples]
            best = best_thresholds(values, has_answer, ids, predictions, na_probs)
            values = apply_threshold(values, has_answer, ids, na_probs, na_prob_threshold)
        file.results[name] = {**summarise(name, values, has_answer), **best}
        file.intervals[name] = summary_intervals(name, values, has_answer)
        file.values[name] = values
    return file
