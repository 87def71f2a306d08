"""The official scores: their definitions, and sums over questions.

They differ in what they remove and in what they count, so on Korean they rank readers differently:
each is reported under its own name. docs/scores.md lists the rules and where they come from.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qa.engine.errors import first_few
from qa.metrics.normalize import (
    normalize_klue,
    normalize_korquad,
    normalize_korquad2,
    normalize_squad,
)
from qa.metrics.overlap import character_f1, rouge_w, word_f1, word_f1_or_both_empty
from qa.metrics.resample import bootstrap_interval


def _as_they_are(golds: list[str]) -> list[str]:
    return golds


def _empty_if_none(golds: list[str]) -> list[str]:
    return golds or [""]


def _not_empty_ones(golds: list[str]) -> list[str]:
    return [gold for gold in golds if gold] or [""]


@dataclass(frozen=True)
class OfficialScore:
    """One official definition. Exact match is always equality of normalised texts."""

    title: str
    normalize: Callable[[str], str]
    overlap: Callable[[str, str], float]  # of a normalised prediction and a normalised gold answer
    keys: tuple[str, str] = ("exact_match", "f1")  # its names for exact match and overlap
    golds: Callable[[list[str]], list[str]] = _as_they_are  # those that count, normalised
    counts_missing: bool = True  # a question without prediction scores 0; otherwise it is left out
    knows_no_answer: bool = False  # no answer is right where there is none, and scores 1
    splits_by_answer: bool = False  # also reports answerable and unanswerable questions apart


METRICS: dict[str, OfficialScore] = {
    "korquad1": OfficialScore("KorQuAD 1.0", normalize_korquad, character_f1),
    "korquad2": OfficialScore("KorQuAD 2.0", normalize_korquad2, character_f1),
    "klue-mrc": OfficialScore(
        "KLUE-MRC",
        normalize_klue,
        rouge_w,
        keys=("exact_match", "rouge_w"),
        golds=_empty_if_none,
        counts_missing=False,
        knows_no_answer=True,
    ),
    "squad1": OfficialScore("SQuAD v1.1", normalize_squad, word_f1),
    "squad2": OfficialScore(
        "SQuAD v2.0",
        normalize_squad,
        word_f1_or_both_empty,
        keys=("exact", "f1"),
        golds=_not_empty_ones,
        counts_missing=False,
        knows_no_answer=True,
        splits_by_answer=True,
    ),
    "mrqa": OfficialScore("MRQA", normalize_squad, word_f1),
}
"""Every official score by name."""

DEFAULT_METRICS = ("korquad1", "squad1")


def score_question(name: str, prediction: str, golds: Iterable[str]) -> tuple[float, float]:
    """(exact match, overlap) of one prediction, 0 to 1: the best gold answer, for each apart."""
    official = METRICS[name]
    text = official.normalize(prediction)
    texts = official.golds([official.normalize(gold) for gold in golds])
    return (
        max((float(text == gold) for gold in texts), default=0.0),
        max((official.overlap(text, gold) for gold in texts), default=0.0),
    )


def korquad_exact_match(prediction: str, gold: str) -> float:
    """KorQuAD 1.0's exact match of one prediction and one gold answer, 0 or 1."""
    return score_question("korquad1", prediction, [gold])[0]


def korquad_f1(prediction: str, gold: str) -> float:
    """KorQuAD 1.0's F1 of one prediction and one gold answer, 0 to 1."""
    return score_question("korquad1", prediction, [gold])[1]


@dataclass
class Score:
    """One official score over questions that come one by one; keeps two numbers of each."""

    name: str
    _values: array[float] = field(default_factory=lambda: array("d"), init=False, repr=False)
    _has_answer: bytearray = field(default_factory=bytearray, init=False, repr=False)

    def add(self, prediction: str | None, golds: Iterable[str]) -> None:
        """Count one question; None if there is no prediction for it."""
        golds = list(golds)
        if prediction is not None:
            self._values.extend(score_question(self.name, prediction, golds))
        else:
            nothing = 0.0 if METRICS[self.name].counts_missing else float("nan")
            self._values.extend((nothing, nothing))
        self._has_answer.append(bool(golds))

    def leave_unanswered(self, mask: np.ndarray) -> None:
        """Count the questions of `mask` (Q,) bool as if they had been left unanswered."""
        for i in np.flatnonzero(mask):
            is_right = METRICS[self.name].knows_no_answer and not self._has_answer[i]
            self._values[2 * i] = self._values[2 * i + 1] = float(is_right)

    @property
    def values(self) -> np.ndarray:
        """(Q, 2): exact match and overlap of each question, 0 to 1; nan if it is left out."""
        return np.array(self._values, dtype=np.float64).reshape(-1, 2)

    @property
    def has_answer(self) -> np.ndarray:
        """(Q,): whether the question has a gold answer."""
        return np.array(self._has_answer, dtype=bool)

    def compute(self) -> dict[str, float]:
        """The official result, in %, under the official keys; nan for no questions."""
        return summarise(self.name, self.values, self.has_answer)

    def intervals(self) -> dict[str, tuple[float, float]]:
        """A 95 % bootstrap interval (low, high), in %, for each mean of the official result."""
        return summary_intervals(self.name, self.values, self.has_answer)


def summarise(name: str, values: np.ndarray, has_answer: np.ndarray) -> dict[str, float]:
    """The official result of `Score.values` (Q, 2) and `Score.has_answer` (Q,)."""
    result: dict[str, Any] = {}
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
    """The 95 % bootstrap intervals of `summarise`."""
    result = {}
    for prefix, part in _parts(name, values, has_answer):
        low, high = 100.0 * bootstrap_interval(part)
        for i, key in enumerate(METRICS[name].keys):
            result[prefix + key] = (float(low[i]), float(high[i]))
    return result


def _parts(name: str, values: np.ndarray, has_answer: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(prefix of the keys, values of the questions that count), for all and for each part."""
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
    """Score {id: prediction} against {id: gold answers} as the official script `name` does.

    A note on stderr names questions that have no prediction.
    """
    score = Score(name)
    for example_id, answers in golds.items():
        score.add(predictions.get(example_id), answers)
    missing = [example_id for example_id in golds if example_id not in predictions]
    if missing:
        print(missing_note(missing, len(golds), [name]), file=sys.stderr)
    return score.compute()


def missing_note(missing: Sequence[str], total: int, names: Sequence[str]) -> str:
    """One line: which questions have no prediction, and how each official score counts them."""
    zero = [name for name in names if METRICS[name].counts_missing]
    out = [name for name in names if not METRICS[name].counts_missing]
    rules = [f"as 0 in {', '.join(zero)}"] * bool(zero) + [f"not in {', '.join(out)}"] * bool(out)
    return (
        f"note: {len(missing)} of {total} questions have no prediction ({first_few(missing)});"
        f" they count {' and '.join(rules)}"
    )
