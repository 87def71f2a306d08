"""The kinds of error of an evaluation are those of the report on its predictions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.reports import made_up, many_examples

from qa.data.examples import Example
from qa.evaluation.evaluate import Evaluation
from qa.metrics import Score
from qa.report.content import Report
from qa.report.error_shares import ERRORS, error_shares
from qa.report.predicted import Predicted
from qa.report.scores import report_scores


def evaluation_of(
    examples: list[Example], predicted: Predicted, name: str, threshold: float | None
) -> Evaluation:
    """What `evaluate` would have found of the same answers."""
    score = Score(name)
    for example in examples:
        score.add(predicted.texts[example.id], example.gold_answers)
    best = [predicted.candidates[example.id][0] for example in examples]
    return Evaluation(
        scores={name: score.compute()},
        eval_loss=0.0,
        num_examples=len(examples),
        num_windows=len(examples),
        seconds=1.0,
        decode_seconds=0.0,
        has_answer=score.has_answer,
        null_odds=np.array([-each.score for each in best]),
        spans=np.array([(each.start, each.end) for each in best]),
        values={name: score.values},
        answered=score.values,
        threshold=threshold,
    )


@pytest.mark.parametrize(
    ("unanswerable", "threshold", "name"),
    [(0, None, "korquad1"), (3, -1.8, "squad2"), (3, None, "squad2"), (0, -1.8, "korquad1")],
)
def test_as_in_the_report(unanswerable: int, threshold: float | None, name: str) -> None:
    examples = many_examples(20, unanswerable)
    predicted = made_up(examples, threshold=math.inf if threshold is None else threshold)
    content = Report([predicted], examples, report_scores(examples), "data").content()
    shares = {kind["kinds"][0]: kind["share"] for kind in content["kinds"] if kind["gain"]}
    found = error_shares(evaluation_of(examples, predicted, name, threshold), examples)
    assert tuple(found) == ERRORS
    assert {kind: share for kind, share in found.items() if share} == pytest.approx(shares)
    assert sum(found.values()) + content["exact_match"] == pytest.approx(100)


def test_gold_answers_without_a_place_are_a_kind_of_their_own() -> None:
    """MRQA's data may have them, and no span is one."""
    placed = many_examples(5, 0)
    nowhere: Any = {"answers": (), "answer_starts": (), "reference_answers": ("none of it",)}
    examples = [replace(each, **nowhere) for each in placed]
    found = error_shares(evaluation_of(examples, made_up(placed), "korquad1", None), examples)
    assert found["gold_elsewhere"] > 0
    assert sum(found.values()) == pytest.approx(100)
