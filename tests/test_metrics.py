"""The official scores: every rule by hand, and control values on KorQuAD's dev file."""

from __future__ import annotations

import json
import math
import re
import string

import pytest
from conftest import KORQUAD_FILE

from qa.metrics import (
    METRICS,
    Score,
    korquad_exact_match,
    korquad_f1,
    normalize_korquad,
    normalize_squad,
    overlap_f1,
    score_predictions,
    squad_exact_match,
    squad_f1,
)

KORQUAD_SPACES = ["'", '"', "《", "》", "<", ">", "〈", "〉", "(", ")", "‘", "’"]
DELETED = sorted(set(string.punctuation) - set(KORQUAD_SPACES))


def test_there_are_twelve_characters() -> None:
    assert len(set(KORQUAD_SPACES)) == 12


@pytest.mark.parametrize("character", KORQUAD_SPACES)
def test_korquad_turns_quotes_and_brackets_into_spaces(character: str) -> None:
    assert normalize_korquad(f"먼{character}불빛") == "먼 불빛"
    assert normalize_korquad(f"{character}먼 불빛{character}") == "먼 불빛"


@pytest.mark.parametrize("character", DELETED)
def test_korquad_deletes_other_ascii_punctuation(character: str) -> None:
    assert normalize_korquad(f"먼{character}불빛") == "먼불빛"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  먼 \t 불빛\n", "먼 불빛"),
        ("먼\u3000불빛\u00a0은", "먼 불빛 은"),  # str.split knows these spaces
        ("KBS World", "kbs world"),
        ("The Beatles", "the beatles"),  # no articles are removed
        ("1,000.5", "10005"),
        ("먼“불빛”「시」『집』·…", "먼“불빛”「시」『집』·…"),  # not among the twelve, not ASCII
        ("먼 - 불빛", "먼 불빛"),  # deleted, then the spaces around it become one
        ("\u1112\u1161\u11ab", "\u1112\u1161\u11ab"),  # no Unicode normalisation
        ("ＫＢＳ", "ｋｂｓ"),
        ("'''", ""),
        ("", ""),
    ],
)
def test_korquad_normalisation(text: str, expected: str) -> None:
    assert normalize_korquad(text) == expected


def test_korquad_replaces_before_it_deletes() -> None:
    """Quotes are ASCII punctuation: deleted first, no space would be left."""
    assert normalize_korquad("a'b") == "a b"
    assert normalize_korquad("a`b") == "ab"


@pytest.mark.parametrize("character", sorted(string.punctuation))
def test_squad_deletes_ascii_punctuation(character: str) -> None:
    assert normalize_squad(f"먼{character}불빛") == "먼불빛"


@pytest.mark.parametrize("character", sorted(set(KORQUAD_SPACES) - set(string.punctuation)))
def test_squad_keeps_other_brackets(character: str) -> None:
    assert normalize_squad(f"먼{character}불빛") == f"먼{character}불빛"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Quick a Fox AN end", "quick fox end"),
        ("theatre another atan", "theatre another atan"),
        ("t.h.e fox", "fox"),  # punctuation goes before articles
        ("a-b", "ab"),  # so "a" is no word of its own here
        ("the", ""),
        ("그 the책", "그 the책"),  # Hangul are word characters, no boundary
        ("a 《책》", "《책》"),
        ("  x \n y ", "x y"),
    ],
)
def test_squad_normalisation(text: str, expected: str) -> None:
    assert normalize_squad(text) == expected


@pytest.mark.parametrize(
    ("prediction", "gold", "exact_match", "f1"),
    [
        ("1921년", "1921년", 1, 1),
        ("1921년에", "1921년", 0, 2 * (5 / 6) * 1 / (5 / 6 + 1)),
        ("921", "1921년", 0, 2 * 1 * (3 / 5) / (1 + 3 / 5)),
        ("먼 불빛", "먼불빛", 0, 1),  # spaces count for EM, not for F1
        ("빛불먼", "먼불빛", 0, 1),  # a multiset: no order
        ("가가나", "가나나", 0, 2 / 3),  # min(2, 1) + min(1, 2) of 3 and 3
        ("'먼 불빛'", "《먼 불빛》", 1, 1),
        ("kbs", "KBS", 1, 1),
        ("다리", "강", 0, 0),
        ("", "강", 0, 0),
        ("강", "", 0, 0),
        ("", "", 1, 0),
        ("()", "<>", 1, 0),
    ],
)
def test_korquad_scores(prediction: str, gold: str, exact_match: float, f1: float) -> None:
    assert korquad_exact_match(prediction, gold) == exact_match
    assert korquad_f1(prediction, gold) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("prediction", "gold", "exact_match", "f1"),
    [
        ("The Eiffel Tower", "eiffel tower", 1, 1),
        ("the big Eiffel Tower", "Eiffel Tower", 0, 2 * (2 / 3) * 1 / (2 / 3 + 1)),
        ("tower eiffel", "Eiffel Tower", 0, 1),
        ("1921년에", "1921년", 0, 0),  # words, not characters
        ("먼 불빛은", "먼 불빛", 0, 0.5),
        ("", "", 1, 0),
        ("the", "a", 1, 0),
        ("x", "", 0, 0),
    ],
)
def test_squad_scores(prediction: str, gold: str, exact_match: float, f1: float) -> None:
    assert squad_exact_match(prediction, gold) == exact_match
    assert squad_f1(prediction, gold) == pytest.approx(f1)


def test_overlap_of_multisets() -> None:
    # 3 in common of 4 and 6: 2 * 3 / (4 + 6)
    assert overlap_f1("aabc", "abbccc") == pytest.approx(0.6)
    assert overlap_f1("", "") == 0.0
    assert overlap_f1("a", "") == 0.0


def test_best_gold_answer_separately_for_each_measure() -> None:
    """EM from one gold answer and F1 from another: "가 나" is exact, "가나" not, but F1 is 1."""
    score = Score("korquad1")
    score.add("가 나", ["가나", "다"])
    assert score.compute() == {"exact_match": 0.0, "f1": 100.0}
    score.add("()", ["나", "''"])  # empty against empty: EM 1, F1 0
    assert score.compute() == {"exact_match": 50.0, "f1": 50.0}
    score.add("나", [])  # no gold answer: nothing can be right
    assert score.compute()["exact_match"] == pytest.approx(100 / 3)


def test_no_questions_give_nan() -> None:
    assert all(math.isnan(value) for value in Score("squad1").compute().values())


def test_missing_prediction_counts_as_0_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    golds = {"q1": ["강"], "q2": ["산"], "q3": ["들"], "q4": ["물"]}
    predictions = {"q1": "강", "q3": "들", "q4": "", "other": "강"}
    for name in METRICS:
        assert score_predictions(name, golds, predictions) == {"exact_match": 50.0, "f1": 50.0}
        error = capsys.readouterr().err
        assert "q2" in error
        assert error.count("\n") == 1


def korquad_control() -> tuple[dict[str, list[str]], dict[str, str]]:
    """Gold answers, and the whole eojeol that cover the first of each."""
    golds: dict[str, list[str]] = {}
    eojeol: dict[str, str] = {}
    for article in json.loads(KORQUAD_FILE.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            words = [match.span() for match in re.finditer(r"\S+", context)]
            for qa in paragraph["qas"]:
                golds[qa["id"]] = [answer["text"] for answer in qa["answers"]]
                start = qa["answers"][0]["answer_start"]
                end = start + len(golds[qa["id"]][0])
                covering = [span for span in words if span[0] < end and span[1] > start]
                eojeol[qa["id"]] = context[covering[0][0] : covering[-1][1]]
    return golds, eojeol


@pytest.mark.korquad
@pytest.mark.parametrize(
    ("name", "exact_match", "f1"), [("korquad1", 23.97, 87.66), ("squad1", 23.43, 39.40)]
)
def test_control_values_on_korquad(name: str, exact_match: float, f1: float) -> None:
    golds, eojeol = korquad_control()
    assert len(golds) == 5774
    first = {example_id: answers[0] for example_id, answers in golds.items()}
    perfect = score_predictions(name, golds, first)
    assert perfect == {"exact_match": pytest.approx(100.0), "f1": pytest.approx(100.0)}
    scores = score_predictions(name, golds, eojeol)
    assert {key: round(value, 2) for key, value in scores.items()} == {
        "exact_match": exact_match,
        "f1": f1,
    }
