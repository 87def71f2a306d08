"""The official scores: every rule by hand, oracles, and control values on KorQuAD's dev file."""

from __future__ import annotations

import json
import math
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.articles import KORQUAD_FILE

from qa.engine.errors import Notice
from qa.metrics import (
    METRICS,
    Score,
    korquad_exact_match,
    korquad_f1,
    normalize_klue,
    normalize_korquad,
    normalize_korquad2,
    normalize_squad,
    overlap_f1,
    score_predictions,
    score_question,
)
from qa.metrics.overlap import rouge_w

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("먼 불빛", "먼불빛"),
        ("먼\u00a0불빛\u3000은\n\t집", "먼불빛은집"),  # every white space, not just ASCII
        ("<b>먼</b> <i>불빛</i>", "먼불빛"),
        ("먼 &lt;불빛&gt;", "먼불빛"),  # the HTML goes first, then brackets
        ("먼&nbsp;불빛&amp;", "먼불빛"),
        ("《먼 불빛》", "먼불빛"),
        ("<td>KBS</td><td>1,000</td>", "kbs1000"),
        ("<!-- x -->먼<script>y</script>", "먼"),
        ("먼 - 불빛.", "먼불빛"),
        ("<br/>", ""),
        ("2 < 3", "23"),
    ],
)
def test_korquad2_normalisation(text: str, expected: str) -> None:
    assert normalize_korquad2(text) == expected


@pytest.mark.parametrize(
    ("prediction", "gold", "exact_match", "f1"),
    [
        ("먼 불빛", "먼불빛", 1, 1),  # no spaces, so also equal
        ("<p>먼 불빛</p>", "먼 불빛", 1, 1),
        ("<table><tr><td>가</td></tr></table>", "<table><td>가나</table>", 0, 2 / 3),
        ("<br>", "강", 0, 0),
        ("<br>", "<hr>", 1, 0),
    ],
)
def test_korquad2_scores(prediction: str, gold: str, exact_match: float, f1: float) -> None:
    assert score_question("korquad2", prediction, [gold]) == pytest.approx((exact_match, f1))


@pytest.mark.parametrize("character", sorted(string.punctuation))
def test_klue_deletes_ascii_punctuation(character: str) -> None:
    assert normalize_klue(f"먼{character}불빛") == "먼불빛"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  먼 \t 불빛\n", "먼 불빛"),
        ("The KBS", "the kbs"),  # no articles
        ("《먼 불빛》", "《먼 불빛》"),  # the regex that should remove these never fires,
        ("‘먼’〈불빛〉", "‘먼’〈불빛〉"),
        ('먼"()‘’불빛', "먼 불빛"),  # except on exactly this
        ("()", ""),
    ],
)
def test_klue_normalisation(text: str, expected: str) -> None:
    assert normalize_klue(text) == expected


@pytest.mark.parametrize(
    ("prediction", "golds", "exact_match", "overlap"),
    [
        ("1921년", ["1921년"], 1, 1),
        ("1921년에", ["1921년"], 0, 2 * 5 / (6 + 5)),
        ("먼 불빛", ["먼불빛"], 0, 2 * 2 / (4 + 3)),  # "불빛"; the space counts as a character
        ("가나다라", ["나다가라"], 0, 2 * 2 / 8),  # contiguous: "나다", not the "나다라" with a gap
        ("강", ["산", "강"], 1, 1),
        ("", [], 1, 1),  # unanswerable
        ("()", [], 1, 1),  # empty once normalised
        ("강", [], 0, 0),
        ("", ["강"], 0, 0),
        ("", ["()"], 1, 1),
        ("가나", ["가", "가나다라마바"], 0, 2 / 3),
    ],
)
def test_klue_scores(prediction: str, golds: list[str], exact_match: float, overlap: float) -> None:
    assert score_question("klue-mrc", prediction, golds) == pytest.approx((exact_match, overlap))


@pytest.mark.parametrize(
    ("prediction", "golds", "exact_match", "f1"),
    [
        ("The Eiffel Tower", ["eiffel tower"], 1, 1),
        ("big tower", ["the tower"], 0, 2 / 3),
        ("", [], 1, 1),
        ("the", [], 1, 1),  # nothing is left of it
        ("tower", [], 0, 0),
        ("", ["tower"], 0, 0),
        ("", ["the", "tower"], 0, 0),  # a gold answer without words does not count
        ("", ["the"], 1, 1),  # unless it is the only one
        ("x", ["the"], 0, 0),
    ],
)
def test_squad2_scores(prediction: str, golds: list[str], exact_match: float, f1: float) -> None:
    assert score_question("squad2", prediction, golds) == pytest.approx((exact_match, f1))


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
    assert score_question("korquad1", prediction, [gold]) == pytest.approx((exact_match, f1))
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
@pytest.mark.parametrize("name", ["squad1", "mrqa"])
def test_squad_scores(name: str, prediction: str, gold: str, exact_match: float, f1: float) -> None:
    assert score_question(name, prediction, [gold]) == pytest.approx((exact_match, f1))


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


def test_unanswerable_questions_score_0_where_the_score_knows_none() -> None:
    for name in ("korquad1", "korquad2", "squad1", "mrqa"):
        assert score_question(name, "", []) == (0.0, 0.0)


@pytest.mark.parametrize("name", METRICS)
def test_missing_predictions(name: str) -> None:
    """They count as 0 or are left out, as in the official script; a notice says so."""
    golds = {"q1": ["강"], "q2": ["산"], "q3": ["들"], "q4": ["물"]}
    predictions = {"q1": "강", "q3": "들", "q4": "", "other": "강"}
    with pytest.warns(Notice, match=r"1 of 4 questions have no prediction \(q2\)") as notices:
        scores = score_predictions(name, golds, predictions)
    left_out = name in ("squad2", "klue-mrc")
    expected = 100 * 2 / 3 if left_out else 50.0
    assert [scores[key] for key in METRICS[name].keys] == [pytest.approx(expected)] * 2
    (note,) = [str(notice.message) for notice in notices]
    assert (f"not in {name}" if left_out else f"as 0 in {name}") in note


def test_squad2_reports_answerable_and_unanswerable_questions_apart() -> None:
    score = Score("squad2")
    score.add("river", ["river"])
    score.add("big river", ["river"])
    score.add("", ["river"])
    score.add("river", [])
    score.add(None, [])  # no prediction: left out everywhere
    assert score.compute() == {
        "exact": 25.0,
        "f1": pytest.approx(100 * (1 + 2 / 3) / 4),
        "total": 4,
        "HasAns_exact": pytest.approx(100 / 3),
        "HasAns_f1": pytest.approx(100 * (1 + 2 / 3) / 3),
        "HasAns_total": 3,
        "NoAns_exact": 0.0,
        "NoAns_f1": 0.0,
        "NoAns_total": 1,
    }
    assert score.intervals().keys() == {key for key in score.compute() if "total" not in key}


def test_keys_of_the_official_results() -> None:
    for name in METRICS:
        score = Score(name)
        score.add("강", ["강"])
        keys = {"squad2": "exact f1 total HasAns_exact HasAns_f1 HasAns_total"}.get(
            name, "exact_match rouge_w" if name == "klue-mrc" else "exact_match f1"
        )
        assert list(score.compute()) == keys.split()


TEXTS = st.text(alphabet="가나다 ab<>&;()'.《the", max_size=12)


@pytest.mark.parametrize("name", METRICS)
@given(prediction=TEXTS, golds=st.lists(TEXTS, max_size=3))
def test_scores_are_bounded_and_identity_is_perfect(
    name: str, prediction: str, golds: list[str]
) -> None:
    exact_match, overlap = score_question(name, prediction, golds)
    assert exact_match in (0.0, 1.0)
    assert 0.0 <= overlap <= 1.0 + 1e-12
    assert score_question(name, prediction, [prediction, *golds])[0] == 1.0 or (
        name == "squad2" and not normalize_squad(prediction)  # such a gold answer does not count
    )
    if METRICS[name].normalize(prediction):
        assert score_question(name, prediction, [*golds, prediction])[1] == pytest.approx(1.0)
    more = score_question(name, prediction, [*golds, "다"])
    if golds and any(METRICS[name].normalize(gold) for gold in golds):
        assert more >= (exact_match, overlap) or more[1] >= overlap  # a gold answer never harms
        assert more[0] >= exact_match


@pytest.mark.parametrize("name", METRICS)
@given(one=TEXTS, other=TEXTS)
def test_scores_are_symmetric(name: str, one: str, other: str) -> None:
    """The measures treat prediction and gold answer alike."""
    there, back = score_question(name, one, [other]), score_question(name, other, [one])
    assert there == pytest.approx((back[0], back[1]))


@given(st.text(alphabet="ab 가", max_size=9), st.text(alphabet="ab 가", max_size=9))
def test_rouge_w_against_all_substrings(prediction: str, gold: str) -> None:
    parts = [gold[i:j] for i in range(len(gold)) for j in range(i + 1, len(gold) + 1)]
    longest = max((len(part) for part in parts if part in prediction), default=0)
    both = len(prediction) + len(gold)
    expected = 2 * longest / both if both else 1.0
    assert rouge_w(prediction, gold) == pytest.approx(expected)


def test_rouge_w_of_a_long_gold_answer_is_the_official_matchers() -> None:
    """From 200 characters on the matcher begins at no character that is frequent in the gold."""
    assert rouge_w("나" + "가" * 99, "다" + "가" * 198) == pytest.approx(2 * 99 / (100 + 199))
    assert rouge_w("나" + "가" * 99, "다" + "가" * 199) == 0.0
    gold = "가" * 198 + "나다"
    assert rouge_w("가가가나", gold) == pytest.approx(2 * 4 / (4 + 200))  # begins at 나, grows


def test_a_score_keeps_its_values_in_order() -> None:
    score = Score("klue-mrc")
    score.add("강", ["강"])
    score.add(None, ["강"])
    score.add("", [])
    assert score.values[[0, 2]].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert math.isnan(score.values[1, 0])
    assert score.has_answer.tolist() == [True, True, False]


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
    ("name", "exact_match", "overlap"),
    [
        ("korquad1", 23.97, 87.66),
        ("korquad2", 23.97, 87.66),
        ("klue-mrc", 23.43, 87.57),
        ("squad1", 23.43, 39.40),
        ("squad2", 23.43, 39.40),
        ("mrqa", 23.43, 39.40),
    ],
)
def test_control_values_on_korquad(name: str, exact_match: float, overlap: float) -> None:
    golds, eojeol = korquad_control()
    assert len(golds) == 5774
    keys = METRICS[name].keys
    first = {example_id: answers[0] for example_id, answers in golds.items()}
    perfect = score_predictions(name, golds, first)
    assert [perfect[key] for key in keys] == pytest.approx([100.0, 100.0])
    scores = score_predictions(name, golds, eojeol)
    assert [round(scores[key], 2) for key in keys] == [exact_match, overlap]
