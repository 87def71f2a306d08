"""The figures of an evaluation on a collection, as metrics.json has them and as lines to read.

Q: questions. Shares and scores in %.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qa.open_domain.measure import DEPTHS, Chosen, Measured

SHARES = (25, 50, 75, 90, 100)


@dataclass(frozen=True)
class Figures:
    """What is shown of one evaluation.

    Args:
        found: What was read.
        given: (Q, 2) exact match and F1 of the same reader with the paragraph given, 0 to 1.
        answerable: (Q,) bool, whether the question has an answer that the collection holds.
        shown: (Q,) bool, the questions that nothing was fitted on; all, if nothing was fitted.
        weight: That of passages.
        threshold: On null odds; None: every question is answered.
    """

    found: Measured
    given: np.ndarray
    answerable: np.ndarray
    shown: np.ndarray
    weight: float
    threshold: float | None

    @property
    def chosen(self) -> Chosen:
        """The answers under the weight."""
        return self.found.choose(self.weight)

    @property
    def predictions(self) -> list[str]:
        """(Q,) the text of each answer, "" where none is given."""
        chosen = self.chosen
        limit = np.inf if self.threshold is None else self.threshold
        pairs = zip(chosen.texts, chosen.odds, strict=True)
        return [text if odds <= limit else "" for text, odds in pairs]

    def content(self) -> dict[str, Any]:
        """Return the collection's part of metrics.json."""
        rows = self.shown & self.answerable
        content: dict[str, Any] = {
            "questions": len(rows),
            "answerable": int(self.answerable.sum()),
            "recall": {str(depth): self.found.recall(depth) for depth in DEPTHS},
            "passage_weight": self.weight,
            "open_threshold": self.threshold,
            "shown": int(rows.sum()),
            "given": means(self.given[rows]),
            "span_score_alone": self._scores(0.0, rows),
            "weighted": self._scores(self.weight, rows),
            "surest": [self._surest(share) for share in SHARES],
        }
        if self.threshold is not None:
            content["under_threshold"] = self._under(self.threshold)
        return content

    def _scores(self, weight: float, rows: np.ndarray) -> dict[str, float]:
        """Return the scores of these questions under a weight."""
        chosen = self.found.choose(weight)
        from_right = percent(chosen.is_from_right[rows])
        return {**means(chosen.values[rows]), "from_right_passage": from_right}

    def _surest(self, share: int) -> dict[str, float]:
        """Return what comes of answering this share of the shown questions, the surest ones.

        An answer to a question that the collection cannot answer is wrong.
        """
        chosen = self.chosen
        right = np.where(self.answerable, chosen.values[:, 0], 0.0)[self.shown]
        order = np.argsort(chosen.odds[self.shown], kind="stable")
        count = max(1, round(share * len(order) / 100))
        return {"answered": share, "exact_match": percent(right[order[:count]])}

    def _under(self, threshold: float) -> dict[str, float]:
        """Return what the threshold does to the shown questions."""
        chosen = self.chosen
        answers = chosen.odds <= threshold
        held, other = self.shown & self.answerable, self.shown & ~self.answerable
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
        is_fitted: Whether weight and threshold were fitted, on the questions that are not shown.
    """
    total, answerable = content["questions"], content["answerable"]
    yield f"{total} questions to the collection, {k} passages read for each"
    if answerable < total:
        yield f"  {total - answerable} of them it cannot answer: no answer, or no such paragraph"
    recall = "   ".join(f"{depth}: {share:.2f}" for depth, share in content["recall"].items())
    yield f"right passage among the first   {recall} %"
    weight = content["passage_weight"]
    origin = "fitted on the other half" if is_fitted else "the reader's own"
    yield f"{content['shown']} questions{' of one half' * is_fitted} that it can answer:"
    for name, key in (
        ("paragraph given", "given"),
        ("collection, span score alone", "span_score_alone"),
        (f"collection, weight {weight:g}", "weighted"),
    ):
        row = content[key]
        right = row.get("from_right_passage")
        rest = "" if right is None else f"   from the right passage {right:.2f} %"
        yield f"  {name:<30}EM {row['exact_match']:6.2f}   F1 {row['f1']:6.2f}{rest}"
    yield f"  the weight is {origin}"
    surest = "   ".join(f"{e['answered']} %: {e['exact_match']:.2f}" for e in content["surest"])
    yield f"EM if only the surest are answered   {surest}"
    if "under_threshold" in content:
        yield from threshold_lines(content["open_threshold"], content["under_threshold"])


def threshold_lines(threshold: float, under: dict[str, float]) -> Iterator[str]:
    """Yield what the threshold does."""
    yield f"threshold on null odds, fitted on the other half: {threshold:.3f}"
    yield (
        f"  that it can answer: {under['answered']:.2f} % answered, EM"
        f" {under['exact_match']:.2f}, of the answered {under['exact_match_of_answered']:.2f}"
    )
    yield (
        f"  that it cannot, {under['unanswerable']}: {under['unanswerable_answered']:.2f} %"
        " answered, all of them wrongly"
    )
