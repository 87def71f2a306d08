"""An official score over many questions: sums, intervals, and what has no prediction."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from qa.engine.errors import first_few, notice
from qa.metrics.official import METRICS, score_question
from qa.metrics.resample import bootstrap_interval


@dataclass
class Score:
    """One official score over questions that come one by one; keeps two numbers for each."""

    name: str
    _values: array[float] = field(default_factory=lambda: array("d"), init=False, repr=False)
    _has_answer: bytearray = field(default_factory=bytearray, init=False, repr=False)

    def add(self, prediction: str | None, golds: Iterable[str]) -> None:
        """Count one question; `prediction` is None if the question has none."""
        golds = list(golds)
        if prediction is not None:
            self._values.extend(score_question(self.name, prediction, golds))
        else:
            nothing = 0.0 if METRICS[self.name].counts_missing else float("nan")
            self._values.extend((nothing, nothing))
        self._has_answer.append(bool(golds))

    def leave_unanswered(self, mask: np.ndarray) -> None:
        """Count the questions in `mask` (Q,) bool as if they had been left unanswered."""
        for i in np.flatnonzero(mask):
            is_right = METRICS[self.name].knows_no_answer and not self._has_answer[i]
            self._values[2 * i] = self._values[2 * i + 1] = float(is_right)

    @property
    def values(self) -> np.ndarray:
        """(Q, 2) float64: exact match and overlap of each question, 0 to 1; nan if left out."""
        return np.array(self._values, dtype=np.float64).reshape(-1, 2)

    @property
    def has_answer(self) -> np.ndarray:
        """(Q,) bool: whether the question has a gold answer."""
        return np.array(self._has_answer, dtype=bool)

    def compute(self) -> dict[str, float]:
        """Return the official result, in %, under the official keys; nan for no questions."""
        return summarise(self.name, self.values, self.has_answer)

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Return a 95 % bootstrap interval (low, high), in %, for each mean of the result."""
        return summary_intervals(self.name, self.values, self.has_answer)


def summarise(name: str, values: np.ndarray, has_answer: np.ndarray) -> dict[str, float]:
    """Return the official result of `Score.values` (Q, 2) and `Score.has_answer` (Q,)."""
    result: dict[str, float] = {}
    for prefix, part in _parts(name, values, has_answer):
        total = len(part)
        for key, column in zip(METRICS[name].keys, part.T, strict=True):
            result[prefix + key] = 100.0 * sum(column.tolist()) / total if total else float("nan")
        if METRICS[name].splits_by_answer:
            result[f"{prefix}total"] = total
    return result


def summary_intervals(
    name: str, values: np.ndarray, has_answer: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Return the 95 % bootstrap interval of each mean of `summarise`."""
    result = {}
    for prefix, part in _parts(name, values, has_answer):
        low, high = 100.0 * bootstrap_interval(part)
        for i, key in enumerate(METRICS[name].keys):
            result[prefix + key] = (float(low[i]), float(high[i]))
    return result


def _parts(name: str, values: np.ndarray, has_answer: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return (prefix of the keys, values of the questions that count) for all and for each part."""
    counts = ~np.isnan(values[:, 0])
    parts = [("", values[counts])]
    if METRICS[name].splits_by_answer:
        for prefix, mask in (("HasAns_", has_answer), ("NoAns_", ~has_answer)):
            if mask.any():
                parts.append((prefix, values[mask & counts]))
    return parts


def score_predictions(
    name: str, golds: Mapping[str, Sequence[str]], predictions: Mapping[str, str]
) -> dict[str, float]:
    """Score {id: prediction} against {id: gold answers} as the official script of `name` does.

    A `Notice` names questions that have no prediction.
    """
    score = Score(name)
    for example_id, answers in golds.items():
        score.add(predictions.get(example_id), answers)
    missing = [example_id for example_id in golds if example_id not in predictions]
    if missing:
        notice(missing_note(missing, len(golds), [name]))
    return score.compute()


def missing_note(missing: Sequence[str], total: int, names: Sequence[str]) -> str:
    """Return a line: which questions have no prediction, and how each official score counts them.

    Args:
        missing: Ids of the questions without a prediction.
        total: Number of all questions.
        names: The official scores that are reported.
    """
    zero = [name for name in names if METRICS[name].counts_missing]
    out = [name for name in names if not METRICS[name].counts_missing]
    rules = [f"as 0 in {', '.join(zero)}"] * bool(zero) + [f"not in {', '.join(out)}"] * bool(out)
    return (
        f"{len(missing)} of {total} questions have no prediction ({first_few(missing)});"
        f" they count {' and '.join(rules)}"
    )
