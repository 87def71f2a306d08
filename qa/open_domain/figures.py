"""The figures of an evaluation on a collection, as metrics.json has them and as lines to read.

Q: questions. Shares and scores in %.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qa.open_domain.fit import Fitted
from qa.open_domain.measure import DEPTHS, Chosen, Measured

SHARES = (25, 50, 75, 90, 100)


@dataclass(frozen=True)
class Figures:
    """What is shown of one evaluation.

    Args:
        found: What was read.
        given: (Q, 2) exact match and F1 of the same reader with the paragraph given, 0 to 1.
        answerable: (Q,) bool, whether the question has an answer that the collection holds.
        fitted: The weights and thresholds.
    """

    found: Measured
    given: np.ndarray
    answerable: np.ndarray
    fitted: Fitted

    @property
    def chosen(self) -> Chosen:
        """The answers under the weights."""
        return self.found.choose(self.fitted.weights)

    @property
    def predictions(self) -> list[str]:
        """(Q,) the text of each answer, "" where none is given."""
        chosen = self.chosen
        answers = chosen.odds <= self.fitted.thresholds
        return [text if each else "" for text, each in zip(chosen.texts, answers, strict=True)]

    def content(self) -> dict[str, Any]:
        """Return the collection's part of metrics.json."""
        content: dict[str, Any] = {
            "questions": len(self.answerable),
            "answerable": int(self.answerable.sum()),
            "recall": {str(depth): self.found.recall(depth) for depth in DEPTHS},
            "passage_weight": self.fitted.weight,
            "open_threshold": self.fitted.threshold,
            "given": means(self.given[self.answerable]),
            "weights_of_halves": sorted(set(self.fitted.weights.tolist())),
            "span_score_alone": self._scores(0.0),
            "weighted": self._scores(self.fitted.weights),
            "surest": [self._surest(share) for share in SHARES],
        }
        # Without such questions in both halves one of them has fitted no threshold.
        if np.isfinite(self.fitted.thresholds).all():
            content["under_threshold"] = self._under()
        return content

    def _scores(self, weight: float | np.ndarray) -> dict[str, float]:
        """Return the scores of the answerable questions under a weight, or each one's own."""
        chosen = self.found.choose(weight)
        from_right = percent(chosen.is_from_right[self.answerable])
        return {**means(chosen.values[self.answerable]), "from_right_passage": from_right}

    def _surest(self, share: int) -> dict[str, float]:
        """Return what comes of answering this share of the questions, the surest ones.

        An answer to a question that the collection cannot answer is wrong.
        """
        chosen = self.chosen
        right = np.where(self.answerable, chosen.values[:, 0], 0.0)
        order = np.argsort(chosen.odds, kind="stable")
        count = max(1, round(share * len(order) / 100))
        return {"answered": share, "exact_match": percent(right[order[:count]])}

    def _under(self) -> dict[str, float]:
        """Return what the thresholds do to the questions."""
        chosen = self.chosen
        answers = chosen.odds <= self.fitted.thresholds
        held, other = self.answerable, ~self.answerable
        values = np.where(answers[:, None], chosen.values, 0.0)
        return {
            "answered": percent(answers[held]),
            **means(values[held]),
            "exact_match_of_answered": percent(chosen.values[held & answers, 0]),
            "unanswerable": int(other.sum()),
            "unanswerable_answered": percent(answers[other]),
        }


def means(values: np.ndarray) -> dict[str, float]:
    """Return exact match and F1 of (questions, 2) values, in %."""
    return {"exact_match": percent(values[:, 0]), "f1": percent(values[:, 1])}


def percent(values: np.ndarray) -> float:
    """Return the mean, in %; nan without values."""
    return 100.0 * float(values.mean()) if len(values) else float("nan")


def lines(content: dict[str, Any], k: int, is_fitted: bool) -> Iterator[str]:
    """Yield what a person reads of `Figures.content`.

    Args:
        content: The figures.
        k: Passages that were read for each question.
        is_fitted: Whether weight and threshold were fitted.
    """
    total, answerable = content["questions"], content["answerable"]
    yield f"{total} questions to the collection, {k} passages read for each"
    if answerable < total:
        yield f"  {total - answerable} of them it cannot answer: no answer, or no such paragraph"
    recall = "   ".join(f"{depth}: {share:.2f}" for depth, share in content["recall"].items())
    yield f"right passage among the first   {recall} %"
    weight = content["passage_weight"]
    name = "fitted weight" if is_fitted else f"weight {weight:g}"
    yield f"{answerable} questions that it can answer:"
    for label, key in (
        ("paragraph given", "given"),
        ("collection, span score alone", "span_score_alone"),
        (f"collection, {name}", "weighted"),
    ):
        row = content[key]
        right = row.get("from_right_passage")
        rest = "" if right is None else f"   from the right passage {right:.2f} %"
        yield f"  {label:<30}EM {row['exact_match']:6.2f}   F1 {row['f1']:6.2f}{rest}"
    if is_fitted:
        yield f"  either half under the weight that the other fits; all together fit {weight:g}"
    else:
        yield "  the weight is the reader's own"
    surest = "   ".join(f"{e['answered']} %: {e['exact_match']:.2f}" for e in content["surest"])
    yield f"EM if only the surest are answered   {surest}"
    if "under_threshold" in content:
        yield from threshold_lines(content["open_threshold"], content["under_threshold"])
    elif content["open_threshold"] is not None:
        yield (
            f"threshold on null odds: {content['open_threshold']:.3f}, fitted on all; not judged,"
            " since one half has no question that the collection cannot answer"
        )


def threshold_lines(threshold: float, under: dict[str, float]) -> Iterator[str]:
    """Yield what the threshold does."""
    yield f"threshold on null odds: {threshold:.3f}, fitted on all; here, on the other half"
    yield (
        f"  that it can answer: {under['answered']:.2f} % answered, EM"
        f" {under['exact_match']:.2f}, of the answered {under['exact_match_of_answered']:.2f}"
    )
    yield (
        f"  that it cannot, {under['unanswerable']}: {under['unanswerable_answered']:.2f} %"
        " answered, all of them wrongly"
    )
