"""The official scores: their definitions, and the score of one question.

They differ in what they remove and in what they count, so on Korean they rank models differently:
each is reported under its own name. docs/scores.md lists the rules and where they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from qa.metrics.normalize import (
    normalize_klue,
    normalize_korquad,
    normalize_korquad2,
    normalize_squad,
)
from qa.metrics.overlap import character_f1, rouge_w, word_f1, word_f1_or_both_empty


def _all_golds(golds: list[str]) -> list[str]:
    """Return normalised gold answers as they are."""
    return golds


def _all_golds_or_empty(golds: list[str]) -> list[str]:
    """Return normalised gold answers; the empty text where there is none."""
    return golds or [""]


def _nonempty_golds_or_empty(golds: list[str]) -> list[str]:
    """Return normalised gold answers that are not empty; the empty text where there is none."""
    return [gold for gold in golds if gold] or [""]


@dataclass(frozen=True)
class OfficialScore:
    """One official definition. Exact match is always equality of normalised texts."""

    title: str
    normalize: Callable[[str], str]
    overlap: Callable[[str, str], float]  # of a normalised prediction and a normalised gold answer
    keys: tuple[str, str] = ("exact_match", "f1")  # its names for exact match and overlap
    golds: Callable[[list[str]], list[str]] = _all_golds  # picks those that count
    counts_missing: bool = True  # a question without prediction scores 0; otherwise it is left out
    knows_no_answer: bool = False  # an empty prediction scores 1 on a question without an answer
    splits_by_answer: bool = False  # also reports answerable and unanswerable questions separately


METRICS: dict[str, OfficialScore] = {
    "korquad1": OfficialScore("KorQuAD 1.0", normalize_korquad, character_f1),
    "korquad2": OfficialScore("KorQuAD 2.0", normalize_korquad2, character_f1),
    "klue-mrc": OfficialScore(
        "KLUE-MRC",
        normalize_klue,
        rouge_w,
        keys=("exact_match", "rouge_w"),
        golds=_all_golds_or_empty,
        counts_missing=False,
        knows_no_answer=True,
    ),
    "squad1": OfficialScore("SQuAD v1.1", normalize_squad, word_f1),
    "squad2": OfficialScore(
        "SQuAD v2.0",
        normalize_squad,
        word_f1_or_both_empty,
        keys=("exact", "f1"),
        golds=_nonempty_golds_or_empty,
        counts_missing=False,
        knows_no_answer=True,
        splits_by_answer=True,
    ),
    "mrqa": OfficialScore("MRQA", normalize_squad, word_f1),
}
"""Every official score by name."""

DEFAULT_METRICS = ("korquad1", "squad1")


def score_question(name: str, prediction: str, golds: Iterable[str]) -> tuple[float, float]:
    """Return (exact match, overlap) of one prediction, 0 to 1, each of the best gold answer for it.

    `name`: the official score, a key of `METRICS`.
    """
    official = METRICS[name]
    text = official.normalize(prediction)
    texts = official.golds([official.normalize(gold) for gold in golds])
    return (
        float(text in texts),
        max([official.overlap(text, gold) for gold in texts], default=0.0),
    )


def korquad_exact_match(prediction: str, gold: str) -> float:
    """Return KorQuAD 1.0's exact match of one prediction and one gold answer, 0 or 1."""
    return score_question("korquad1", prediction, [gold])[0]


def korquad_f1(prediction: str, gold: str) -> float:
    """Return KorQuAD 1.0's F1 of one prediction and one gold answer, 0 to 1."""
    return score_question("korquad1", prediction, [gold])[1]
