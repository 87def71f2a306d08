"""SQuAD v2.0's thresholds, against trying every threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.metrics import Score
from qa.metrics.no_answer import apply_threshold, best_thresholds

Question = tuple[str, list[str], float]  # prediction, gold answers, no-answer probability


def scored(questions: list[Question]) -> tuple[Score, list[str], dict[str, str], dict[str, float]]:
    score = Score("squad2")
    ids = [f"q{i}" for i in range(len(questions))]
    for prediction, golds, _ in questions:
        score.add(prediction, golds)
    predictions = {i: question[0] for i, question in zip(ids, questions, strict=True)}
    na_probs = {i: question[2] for i, question in zip(ids, questions, strict=True)}
    return score, ids, predictions, na_probs


def test_by_hand() -> None:
    questions: list[Question] = [
        ("river", ["river"], 0.1),  # +1
        ("hill", [], 0.2),  # -1: an answer where there is none
        ("big river", ["river"], 0.3),  # +2/3 f1
        ("", ["river"], 0.4),
        ("", [], 0.5),  # right either way
        ("river", [], 0.6),  # -1
    ]
    score, ids, predictions, na_probs = scored(questions)
    best = best_thresholds(score.values, score.has_answer, ids, predictions, na_probs)
    # Three unanswerable ones to begin with: exact 3, 4, 3, 3, 3, 3, 2.
    assert best["best_exact"] == pytest.approx(100 * 4 / 6)
    assert best["best_exact_thresh"] == 0.1
    assert best["best_f1"] == pytest.approx(100 * 4 / 6)  # 4, 3, 3.67: the first is the best
    assert best["best_f1_thresh"] == 0.1


def test_threshold_is_0_if_no_answer_pays() -> None:
    """The official script starts there, even if all odds are negative."""
    score, ids, predictions, na_probs = scored([("x", [], -5.0), ("", ["river"], -3.0)])
    best = best_thresholds(score.values, score.has_answer, ids, predictions, na_probs)
    assert best == {
        "best_exact": 50.0,
        "best_exact_thresh": 0.0,
        "best_f1": 50.0,
        "best_f1_thresh": 0.0,
    }


def test_questions_of_one_probability_are_taken_in_the_files_order() -> None:
    score, ids, predictions, _ = scored([("x", [], 0.5), ("river", ["river"], 0.5)])
    for order, expected in ((["q1", "q0"], 100.0), (["q0", "q1"], 50.0)):
        na_probs = dict.fromkeys(order, 0.5)
        best = best_thresholds(score.values, score.has_answer, ids, predictions, na_probs)
        assert best["best_exact"] == expected


def test_missing_predictions_count_at_the_start_but_not_in_the_total() -> None:
    """The official script gives 2 of 2 for two unanswerable questions, one of them predicted."""
    score = Score("squad2")
    score.add("", [])
    score.add(None, [])
    score.add("river", ["river"])
    found = best_thresholds(
        score.values,
        score.has_answer,
        ["a", "b", "c"],
        {"a": "", "c": "river"},
        {"a": 0.9, "b": 0.8, "c": 0.1, "unknown": 0.0},
    )
    assert found["best_exact"] == 150.0


ANSWERS = st.sampled_from(["river", "big river", "hill", ""])


@given(
    st.lists(
        st.tuples(ANSWERS, st.sampled_from([[], ["river"], ["hill", "big hill"]])), min_size=1
    ),
    st.randoms(use_true_random=False),
)
def test_best_thresholds_against_every_threshold(
    pairs: list[tuple[str, list[str]]], random: object
) -> None:
    probs = [0.01 * (i + 1) for i in range(len(pairs))]
    random.shuffle(probs)  # type: ignore[attr-defined]
    score, ids, predictions, na_probs = scored(
        [(p, g, prob) for (p, g), prob in zip(pairs, probs, strict=True)]
    )
    found = best_thresholds(score.values, score.has_answer, ids, predictions, na_probs)
    for column, key in enumerate(("exact", "f1")):
        means = {
            threshold: 100 * float(values[:, column].mean())
            for threshold in [0.0, *probs]
            for values in [
                apply_threshold(score.values, score.has_answer, ids, na_probs, threshold)
            ]
        }
        assert found[f"best_{key}"] == pytest.approx(max(means.values()))
        assert means[found[f"best_{key}_thresh"]] == pytest.approx(max(means.values()))


def test_questions_above_the_threshold_count_as_unanswered() -> None:
    nan = float("nan")
    values = np.array([[1.0, 1.0], [0.0, 0.0], [nan, nan], [0.0, 0.5]])
    has_answer = np.array([True, False, True, True])
    na_probs = {"a": 2.0, "b": 2.0, "c": 2.0, "d": 1.0}  # 1 is not above 1
    result = apply_threshold(values, has_answer, list("abcd"), na_probs, 1.0)
    assert result[[0, 1, 3]].tolist() == [[0.0, 0.0], [1.0, 1.0], [0.0, 0.5]]
    assert math.isnan(result[2, 0])
