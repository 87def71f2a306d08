"""Official scores, written from their definitions with the standard library alone.

KorQuAD 1.0 (`evaluate-v1.0`) and SQuAD v1.1 differ in what they remove and in what they count
(characters against words), so on Korean they rank readers differently: each is reported under its
own name.
"""

from __future__ import annotations

import re
import string
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_KORQUAD_TO_SPACE = str.maketrans(dict.fromkeys("'\"《》<>〈〉()‘’", " "))
_DELETE_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalize_korquad(text: str) -> str:
    """KorQuAD 1.0: quotes and brackets to spaces, lower case, no punctuation, single spaces."""
    text = text.translate(_KORQUAD_TO_SPACE).lower().translate(_DELETE_PUNCTUATION)
    return " ".join(text.split())


def normalize_squad(text: str) -> str:
    """SQuAD: lower case, no ASCII punctuation, no English articles, single spaces."""
    text = _ARTICLES.sub(" ", text.lower().translate(_DELETE_PUNCTUATION))
    return " ".join(text.split())


def overlap_f1(prediction: Sequence[str], gold: Sequence[str]) -> float:
    """F1 of two multisets; 0 without overlap, so also for empty against empty."""
    common = sum((Counter(prediction) & Counter(gold)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(prediction), common / len(gold)
    return 2 * precision * recall / (precision + recall)


def korquad_exact_match(prediction: str, gold: str) -> float:
    """1.0 if the normalised strings are equal, spaces included."""
    return float(normalize_korquad(prediction) == normalize_korquad(gold))


def korquad_f1(prediction: str, gold: str) -> float:
    """F1 over the characters of the normalised strings, spaces left out."""
    return overlap_f1(
        normalize_korquad(prediction).replace(" ", ""), normalize_korquad(gold).replace(" ", "")
    )


def squad_exact_match(prediction: str, gold: str) -> float:
    """1.0 if the normalised strings are equal."""
    return float(normalize_squad(prediction) == normalize_squad(gold))


def squad_f1(prediction: str, gold: str) -> float:
    """F1 over the space-delimited words of the normalised strings."""
    return overlap_f1(normalize_squad(prediction).split(), normalize_squad(gold).split())


PairScore = Callable[[str, str], float]

METRICS: dict[str, tuple[PairScore, PairScore]] = {
    "korquad1": (korquad_exact_match, korquad_f1),
    "squad1": (squad_exact_match, squad_f1),
}
"""Name of the score -> (exact match, F1) of one prediction against one gold answer."""


@dataclass
class Score:
    """Sums one official score over questions, so that nothing has to be kept."""

    name: str
    total: int = 0
    exact_match: float = field(default=0.0, init=False)
    f1: float = field(default=0.0, init=False)

    def add(self, prediction: str, golds: Iterable[str]) -> None:
        """Count one question: the best gold answer, separately for exact match and F1."""
        exact_match, f1 = METRICS[self.name]
        golds = list(golds)
        self.total += 1
        self.exact_match += max((exact_match(prediction, gold) for gold in golds), default=0.0)
        self.f1 += max((f1(prediction, gold) for gold in golds), default=0.0)

    def add_missing(self) -> None:
        """Count one question that has no prediction: it scores 0 and stays in the denominator."""
        self.total += 1

    def compute(self) -> dict[str, float]:
        """{"exact_match": %, "f1": %}, nan for no questions."""
        scale = 100.0 / self.total if self.total else float("nan")
        return {"exact_match": scale * self.exact_match, "f1": scale * self.f1}


def score_predictions(
    name: str, golds: Mapping[str, Sequence[str]], predictions: Mapping[str, str]
) -> dict[str, float]:
    """Score {id: prediction} against {id: gold answers} as the official script `name` does."""
    score = Score(name)
    for example_id, answers in golds.items():
        if example_id in predictions:
            score.add(predictions[example_id], answers)
        else:
            print(f"Unanswered question {example_id} will receive score 0.", file=sys.stderr)
            score.add_missing()
    return score.compute()
