"""Kinds of answers, by hand: each with three cases and more, Korean first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.report.kinds import KINDS, Span, kind_of

# A context with one [gold answer] and one {prediction}, which may overlap.
CASES = [
    ("right", "도하늘은 {[은모래]}에서 자랐다."),
    ("right", "높이가 {[812미터]}인 산이다."),
    ("right", "《{[먼 불빛]}》을 쓴 시인이다."),
    ("too_wide", "그는 {대북 [유화정책]}을 폈다."),
    ("too_wide", "{미국 대통령 [닉슨]}이 왔다."),
    ("too_wide", "{[1989년] 2월}에 떠났다."),
    ("too_wide", "수도 {서[울]}에 산다."),  # more than an ending: a word's front
    ("too_wide", "수도 {[서울](漢城)}에 산다."),  # no part of the word
    ("too_narrow", "[{닉슨} 대통령]이 왔다."),
    ("too_narrow", "[1989년 {2월}]에 떠났다."),
    ("too_narrow", "[한국 {중앙} 박물관]에 있다."),
    ("ending_kept", "모두 {[40]명}이었다."),
    ("ending_kept", "{[서울]에서} 태어났다."),
    ("ending_kept", "{[Paris]ians} came."),
    ("word_cut", "모두 [{40}명]이었다."),
    ("word_cut", "[{닉}슨]이 왔다."),
    ("word_cut", "[한국중앙{박물관}]에 있다."),
    ("shifted", "{한국 [중앙} 박물관]에 있다."),
    ("shifted", "[한국 {중앙] 박물관}에 있다."),
    ("shifted", "the [old {stone] bridge}"),
    ("similar_elsewhere", "[로널드 레이건]은 배우였다. {레이건}은 대통령이 되었다."),
    ("similar_elsewhere", "{ 레 이 건}은 배우였다. [레이건]은 대통령이 되었다."),
    ("similar_elsewhere", "{The Mill House} stands by the [mill]."),
    ("wrong_place", "{새벽강}을 건너 [한여울]로 갔다."),
    ("wrong_place", "[1903년]에 놓였고 {1950년}에 무너졌다."),
    ("wrong_place", "The {river} runs to the [sea]."),
]


def read(text: str) -> tuple[str, Span, Span]:
    """The context, the gold answer's span and the prediction's."""
    places: dict[str, int] = {}
    context = ""
    for character in text:
        if character in "[]{}":
            places[character] = len(context)
        else:
            context += character
    return context, (places["["], places["]"]), (places["{"], places["}"])


@pytest.mark.parametrize(("kind", "text"), CASES)
def test_one_gold_answer(kind: str, text: str) -> None:
    context, gold, span = read(text)
    prediction = context[slice(*span)]
    assert kind_of(context, [gold], prediction, span, kind == "right") == kind


CONTEXT = "서울은 수도이다. 서울에는 궁이 있다."


OTHER_CASES: list[tuple[str, list[Span], str | None, Span | None, bool]] = [
    ("other_occurrence", [(0, 2)], "서울", (10, 12), True),
    ("other_occurrence", [(15, 16), (0, 2)], "서울", (10, 12), True),
    ("other_occurrence", [(10, 12)], "서울", (0, 2), True),
    ("right", [(0, 2), (10, 12)], "서울", (10, 12), True),  # one of two gold places
    ("right", [(0, 2)], "Seoul", None, True),  # a score may take other texts for equal
    ("right", [], "", None, True),  # rightly left unanswered
    ("other_wording", [(0, 2)], "서울", (0, 2), False),
    ("other_wording", [(0, 2), (10, 12)], "서울", (10, 12), False),
    ("other_wording", [(4, 6)], "수도", (4, 6), False),
    ("not_in_context", [(0, 2)], "부산", None, False),
    ("not_in_context", [(0, 2)], "서울 수도", None, False),
    ("not_in_context", [(0, 2), (4, 6)], "Seoul", None, False),
    ("left_unanswered", [(0, 2)], "", None, False),
    ("left_unanswered", [(0, 2)], "  ", None, False),
    ("left_unanswered", [(0, 2), (4, 6)], "", None, False),
    ("answered_in_vain", [], "서울", (0, 2), False),
    ("answered_in_vain", [], "수도", (4, 6), False),
    ("answered_in_vain", [], "부산", None, False),
    ("missing", [(0, 2)], None, None, False),
    ("missing", [], None, None, False),
    ("missing", [(0, 2), (10, 12)], None, None, False),
    # Against the gold answer that is overlapped, else the nearest.
    ("ending_kept", [(4, 6), (10, 12)], "서울에는", (10, 14), False),
    ("wrong_place", [(4, 6), (15, 16)], "있다", (18, 20), False),
]


@pytest.mark.parametrize(("kind", "golds", "prediction", "span", "is_right"), OTHER_CASES)
def test_without_a_place_or_with_several(
    kind: str, golds: list[Span], prediction: str | None, span: Span | None, is_right: bool
) -> None:
    assert kind_of(CONTEXT, golds, prediction, span, is_right) == kind


WRITTEN_CASES: list[tuple[str, str | None, Span | None, bool]] = [
    ("gold_elsewhere", "부산", None, False),
    ("gold_elsewhere", "서울", (0, 2), False),
    ("gold_elsewhere", "수도", (4, 6), False),
    ("right", "한양", None, True),
    ("left_unanswered", "", None, False),
    ("missing", None, None, False),
]


@pytest.mark.parametrize(("kind", "prediction", "span", "is_right"), WRITTEN_CASES)
def test_where_the_answer_stands_nowhere(
    kind: str, prediction: str | None, span: Span | None, is_right: bool
) -> None:
    assert kind_of(CONTEXT, [], prediction, span, is_right, has_answer=True) == kind


def test_every_kind_has_three_cases() -> None:
    kinds = [case[0] for case in (*CASES, *OTHER_CASES, *WRITTEN_CASES)]
    assert {kind: kinds.count(kind) >= 3 for kind in KINDS} == dict.fromkeys(KINDS, True)


@given(st.text("가나 1.,", min_size=1), st.data())
def test_any_two_spans_have_a_kind(context: str, data: st.DataObject) -> None:
    def span() -> Span:
        start = data.draw(st.integers(0, len(context) - 1))
        return start, data.draw(st.integers(start + 1, len(context)))

    golds, predicted = [span() for _ in range(data.draw(st.integers(1, 3)))], span()
    kind = kind_of(context, golds, context[slice(*predicted)], predicted, False)
    overlaps = any(max(g[0], predicted[0]) < min(g[1], predicted[1]) for g in golds)
    is_blank = not context[slice(*predicted)].strip()
    assert KINDS[kind].group == ("no answer" if is_blank else "boundary" if overlaps else "place")
