"""The report's numbers beside those of the scores, and counted by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import comb
from typing import Any

import pytest
from support.reports import made_up, many_examples

from qa.data.examples import Example
from qa.engine.errors import UserError
from qa.metrics import Score, score_predictions
from qa.metrics.compare import compare
from qa.report.content import Report
from qa.report.kinds import KINDS
from qa.report.predicted import Predicted
from qa.report.scores import report_scores

EXAMPLES = many_examples(20)
PREDICTED = made_up(EXAMPLES)
WITH_NONE = many_examples(20, unanswerable=3)
CAUTIOUS = made_up(WITH_NONE, threshold=-1.8)


def content_of(
    predicted: Predicted, examples: list[Example] = EXAMPLES, before: Predicted | None = None
) -> dict[str, Any]:
    files = [predicted] if before is None else [before, predicted]
    return Report(files, examples, report_scores(examples), "data.json").content()


CONTENT, NONE_CONTENT = content_of(PREDICTED), content_of(CAUTIOUS, WITH_NONE)


def em(texts: Mapping[str, str], examples: list[Example], name: str) -> float:
    """The exact match of some predictions, by the scores' own function."""
    golds = {example.id: example.gold_answers for example in examples}
    found = score_predictions(name, golds, texts)
    return found["exact" if name == "squad2" else "exact_match"]


SETUPS = [
    pytest.param(EXAMPLES, PREDICTED, CONTENT, "korquad1", id="answerable"),
    pytest.param(WITH_NONE, CAUTIOUS, NONE_CONTENT, "squad2", id="no answer"),
]
with_setups = pytest.mark.parametrize(("examples", "predicted", "content", "name"), SETUPS)


@with_setups
def test_scores_are_the_official_ones(
    examples: list[Example], predicted: Predicted, content: dict[str, Any], name: str
) -> None:
    (rows,) = content["scores"]
    assert rows[0]["name"] == name
    assert content["exact_match"] == rows[0]["value"]
    for each in {row["name"] for row in rows}:
        score = Score(each)
        for example in examples:
            score.add(predicted.texts[example.id], example.gold_answers)
        own = {row["key"]: row for row in rows if row["name"] == each}
        for key, interval in score.intervals().items():
            assert (own[key]["value"], own[key]["interval"]) == (score.compute()[key], interval)
    assert len(rows) == (4 if name == "korquad1" else 12)


@with_setups
def test_kinds_add_up(
    examples: list[Example], predicted: Predicted, content: dict[str, Any], name: str
) -> None:
    kinds = content["kinds"]
    assert sum(kind["share"] for kind in kinds) == pytest.approx(100)
    assert sum(kind["count"] for kind in kinds) == content["count"] == len(examples)
    assert content["exact_match"] + sum(kind["gain"] for kind in kinds) == pytest.approx(100)
    gains = [kind["gain"] for kind in kinds if kind["gain"]]
    assert gains == sorted(gains, reverse=True)
    assert len(gains) > 4
    counts = Counter(each["kind"] for each in content["questions"])
    assert counts == {kind["kinds"][0]: kind["count"] for kind in kinds}


@with_setups
def test_a_mended_kind_is_scored_so(
    examples: list[Example], predicted: Predicted, content: dict[str, Any], name: str
) -> None:
    """As the score takes the file in which these predictions are the gold answers."""
    golds = {each.id: each.answers[0] if each.answers else "" for each in examples}
    kind_of = {each["id"]: each["kind"] for each in content["questions"]}
    for gain in [*content["kinds"], *content["groups"].values()]:
        mended = {
            i: golds[i] if kind_of[i] in gain["kinds"] else text
            for i, text in predicted.texts.items()
        }
        assert gain["exact_match"] == pytest.approx(em(mended, examples, name))
        assert gain["reachable"] <= gain["gain"]


@with_setups
def test_the_ceiling_is_the_best_of_five(
    examples: list[Example], predicted: Predicted, content: dict[str, Any], name: str
) -> None:
    best = dict(predicted.texts)
    for example in examples:
        texts = [predicted.texts[example.id]]
        texts += [answer.text for answer in predicted.candidates[example.id][:5]]
        best[example.id] = max(texts, key=lambda text: em({example.id: text}, [example], name))
    assert content["ceiling"] == pytest.approx(em(best, examples, name))
    reachable = sum(kind["reachable"] for kind in content["kinds"])
    assert content["ceiling"] == pytest.approx(content["exact_match"] + reachable)
    assert content["exact_match"] + 5 < content["ceiling"] < 99


@with_setups
def test_each_division_holds_every_question(
    examples: list[Example], predicted: Predicted, content: dict[str, Any], name: str
) -> None:
    tags = content["tags"]
    for division in content["buckets"]:
        rows = division["rows"]
        assert sum(row["count"] for row in rows) == len(examples)
        assert sum(row["lost"] for row in rows) == pytest.approx(100 - content["exact_match"])
        for row in rows:
            tag = tags.index(f"{division['dimension']}:{row['name']}")
            ids = {each["id"] for each in content["questions"] if tag in each["tags"]}
            part = [example for example in examples if example.id in ids]
            assert row["count"] == len(part)
            assert row["exact_match"] == pytest.approx(em(predicted.texts, part, name))
            assert row["low"] <= row["exact_match"] <= row["high"]


@with_setups
def test_share_answered(
    examples: list[Example], predicted: Predicted, content: dict[str, Any], name: str
) -> None:
    """The surest n questions, scored as if they were all."""
    found = content["share_answered"]

    def doubt(example: Example) -> float:
        best = predicted.candidates[example.id][0]
        return -best.score if name == "squad2" else -best.probability

    order = sorted(examples, key=doubt)
    best = {i: answers[0].text for i, answers in predicted.candidates.items()}
    for share, match in [*found["at"], *found["points"]]:
        part = order[: round(share * len(order) / 100)]
        right = [em(best, [each], name) if each.answers else 0.0 for each in part]
        assert match == pytest.approx(sum(right) / len(part))
    if name == "korquad1":
        assert found["threshold"] is None
        return
    answered = [each for each in order if predicted.texts[each.id]]
    assert 20 < found["answered"] < 80
    assert found["answered"] == pytest.approx(100 * len(answered) / len(order))
    assert found["threshold"] == pytest.approx(doubt(answered[-1]))
    assert [share for share, _ in found["at"]] == [25, 50, 75, 90]


def test_questions_without_an_answer() -> None:
    found = NONE_CONTENT["no_answer"]
    counts = Counter(
        (
            bool(each.answers),
            "unanswered"
            if not CAUTIOUS.texts[each.id]
            else ("right" if em(CAUTIOUS.texts, [each], "squad2") else "wrong"),
        )
        for each in WITH_NONE
    )
    for has_answer, table in ((True, found["has_answer"]), (False, found["no_answer"])):
        assert table == {name: counts[has_answer, name] for name in table}
    assert min(found["has_answer"].values()) > 5
    bars = found["bars_has_answer"], found["bars_no_answer"]
    assert [sum(each) for each in bars] == [160, 80]
    assert CONTENT["no_answer"] is None


def test_two_readers() -> None:
    other = made_up(EXAMPLES, seed=1)
    content = content_of(PREDICTED, before=other)
    found = content["comparison"]
    right = [
        [bool(em(file.texts, [each], "korquad1")) for file in (other, PREDICTED)]
        for each in EXAMPLES
    ]
    counts = Counter(map(tuple, right))
    expected = [counts[pair] for pair in ((True, True), (True, False), (False, True))]
    assert list(found["flips"].values())[:3] == expected
    assert sum(found["flips"].values()) == sum(row[2] for row in found["kinds"]) == len(EXAMPLES)
    # McNemar's exact test, from its definition; the sign-flip test draws 10,000 times.
    lost, won = counts[True, False], counts[False, True]
    tail = sum(comb(lost + won, k) for k in range(min(lost, won) + 1)) / 2 ** (lost + won)
    assert found["differences"]["exact_match"]["p_value"] == pytest.approx(
        min(1, 2 * tail), abs=0.02
    )
    scores = [Score("korquad1"), Score("korquad1")]
    for score, file in zip(scores, (other, PREDICTED), strict=True):
        for each in EXAMPLES:
            score.add(file.texts[each.id], each.gold_answers)
    official = compare("korquad1", scores[0].values, scores[1].values)
    assert found["differences"] == {key: vars(value) for key, value in official.items()}
    tags = content["tags"]
    for flip, count in found["flips"].items():
        number = tags.index(f"flip:{flip}")
        assert sum(number in each["tags"] for each in content["questions"]) == count


def test_texts_of_any_program_give_fewer_figures() -> None:
    content = content_of(Predicted("other.json", PREDICTED.texts))
    assert [content[name] for name in ("ceiling", "calibration", "share_answered")] == [None] * 3
    assert content["scores"] == CONTENT["scores"]
    assert all(each["candidates"] == [] for each in content["questions"])
    # Places are those of the texts, which stand once in most contexts.
    same = [a["kind"] == b["kind"] for a, b in both(content, CONTENT)]
    assert sum(same) > 0.8 * len(same)


def both(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[Any, Any]]:
    return list(zip(first["questions"], second["questions"], strict=True))


def test_a_text_that_recurs_is_looked_for_near_the_gold_answer() -> None:
    context = "서울은 수도이다. 서울에는 궁이 있다."
    example = Example("1", "어디에 있나?", context, ("서울",), (10,))
    for text, span, kind in (("서울", (10, 12), "right"), ("서울에", (10, 13), "ending_kept")):
        content = content_of(Predicted("p", {"1": text}), [example])
        assert (content["questions"][0]["span"], content["questions"][0]["kind"]) == (span, kind)


def test_questions_that_a_score_leaves_out_are_in_no_figure() -> None:
    texts = dict(list(CAUTIOUS.texts.items())[10:])
    content = content_of(Predicted("p", texts), WITH_NONE)
    assert (content["count"], content["left_out"]) == (230, 10)
    assert sum(kind["count"] for kind in content["kinds"]) == 230
    assert content["exact_match"] == content["scores"][0][0]["value"]


def test_of_two_readers_it_says_over_which_questions() -> None:
    """The scores are each reader's own; what would help is of the questions that both have."""
    ids = list(CAUTIOUS.texts)
    first = Predicted("first", {i: CAUTIOUS.texts[i] for i in ids[10:]})
    report = Report([first, CAUTIOUS], WITH_NONE, report_scores(WITH_NONE), "data")
    content = report.content()
    assert (content["is_part"], content["count"], content["left_out"]) == (True, 230, 10)
    assert "exact match over the 230 questions that count for both would be" in report.lines()[1]
    same = Report([CAUTIOUS, CAUTIOUS], WITH_NONE, report_scores(WITH_NONE), "data")
    assert not same.content()["is_part"]
    assert "mended, exact match would be" in same.lines()[1]


def test_questions_without_a_prediction_are_a_kind_where_they_count() -> None:
    texts = dict(list(PREDICTED.texts.items())[10:])
    content = content_of(Predicted("p", texts))
    missing = [kind for kind in content["kinds"] if kind["title"] == KINDS["missing"].title]
    assert [kind["count"] for kind in missing] == [10]


def test_the_score_that_decides_knows_questions_without_an_answer() -> None:
    assert report_scores(EXAMPLES)[0] == "korquad1"
    assert report_scores(WITH_NONE)[0] == "squad2"
    assert report_scores(WITH_NONE, ["korquad1", "klue-mrc"]) == ("klue-mrc", "korquad1")
    with pytest.raises(UserError, match="korquad1: knows no questions without an answer"):
        report_scores(WITH_NONE, ["korquad1"])


@pytest.mark.parametrize(
    ("metric", "title"), [("korquad1", "F1"), ("squad2", "F1"), ("klue-mrc", "ROUGE-W")]
)
def test_a_questions_overlap_has_the_name_of_its_score(metric: str, title: str) -> None:
    content = Report([PREDICTED], EXAMPLES, (metric,), "data").content()
    mean = 100 * sum(each["overlap"] for each in content["questions"]) / len(EXAMPLES)
    named = {row["key"]: row["value"] for row in content["scores"][0]}
    assert content["overlap"] == title
    assert named[title.lower().replace("-", "_")] == pytest.approx(mean, abs=0.01)
