"""How candidates of several passages become answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.answering.nbest import Answer
from qa.open_domain.answers import OpenAnswer, open_null_odds, rank_open_answers
from qa.retrieval.passage import Hit, Passage

TEXT = "가나다라마바사아자차카타파하"
SCORES = st.integers(-300, 300).map(lambda n: n / 8)


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[Hit], list[list[Answer]]]:
    """Passages of two documents, which may overlap, and candidates of each."""
    hits, found = [], []
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, 9))
        text = TEXT[start : draw(st.integers(start + 2, len(TEXT)))]
        passage = Passage(draw(st.sampled_from("ab")), "", start, text)
        hits.append(Hit(passage, draw(SCORES)))
        spans = draw(
            st.sets(st.tuples(st.integers(0, len(text) - 1), st.integers(1, 3)), max_size=4)
        )
        found.append(
            [
                Answer(
                    text[first : first + size],
                    first,
                    first + len(text[first : first + size]),
                    draw(SCORES),
                    0.5,
                )
                for first, size in sorted(spans)
            ]
        )
    return hits, found


def by_hand(
    hits: list[Hit], found: list[list[Answer]], weight: float, temperature: float
) -> list[tuple[str, int, int, float, float]]:
    """The oracle: place -> best score, since here the same text overlaps only at the same place."""
    best: dict[tuple[str, int, int], float] = {}
    top = max((hit.score for hit in hits), default=0.0)
    for hit, answers in zip(hits, found, strict=True):
        for answer in answers:
            start, end = answer.start + hit.passage.start, answer.end + hit.passage.start
            score = answer.score + weight * (hit.score - top)
            place = (hit.passage.document, start, end)
            best[place] = max(score, best.get(place, -math.inf))
    total = sum(math.exp(score / temperature) for score in best.values())
    return [(*place, score, math.exp(score / temperature) / total) for place, score in best.items()]


@settings(max_examples=40, deadline=None)
@given(collections(), st.sampled_from([0.0, 0.5, 2.0]), st.sampled_from([1.0, 2.5]))
def test_candidates_of_all_passages_are_ranked_together(
    collection: tuple[list[Hit], list[list[Answer]]], weight: float, temperature: float
) -> None:
    hits, found = collection
    answers = rank_open_answers(hits, found, weight, temperature)
    expected = by_hand(hits, found, weight, temperature)
    assert {(a.document, a.start, a.end) for a in answers} == {each[:3] for each in expected}
    by_place = {each[:3]: each[3:] for each in expected}
    for a in answers:
        score, probability = by_place[a.document, a.start, a.end]
        assert a.score == score
        assert a.probability == pytest.approx(probability)
        assert TEXT[a.start : a.end] == a.text
        assert a.passage[a.start_in_passage : a.end_in_passage] == a.text
    assert [a.score for a in answers] == sorted((a.score for a in answers), reverse=True)
    assert math.isclose(sum(a.probability for a in answers), 1.0) or not answers


def one(text: str, start: int, score: float) -> Answer:
    """A candidate that is sure of itself within its passage."""
    return Answer(text, start, start + len(text), score, 1.0)


def test_a_surer_passage_does_not_win_by_its_own_probability() -> None:
    """The trap: within a passage of one candidate its probability is 1."""
    hits = [Hit(Passage("a", "", 0, "가 나 다"), 9.0), Hit(Passage("b", "", 0, "가"), 8.0)]
    found = [[Answer("가", 0, 1, 5.0, 0.6), Answer("나", 2, 3, 4.5, 0.4)], [one("가", 0, 1.0)]]
    answers = rank_open_answers(hits, found, weight=0.5)
    assert [a.document for a in answers] == ["a", "a", "b"]
    assert 0.6 in (round(a.probability, 1) for a in answers)
    assert not {1.0, 0.4} & {a.probability for a in answers}


def test_the_search_decides_between_equal_candidates() -> None:
    hits = [Hit(Passage(name, "", 0, "가"), score) for name, score in (("a", 9.0), ("b", 7.0))]
    found = [[one("가", 0, 3.0)], [one("가", 0, 3.5)]]
    assert [a.document for a in rank_open_answers(hits, found, 0.0)] == ["b", "a"]
    assert [a.document for a in rank_open_answers(hits, found, 0.5)] == ["a", "b"]


def test_the_same_text_elsewhere_is_another_answer() -> None:
    passage = Passage("a", "", 10, "가 나 가")
    answers = rank_open_answers(
        [Hit(passage, 1.0)], [[one("가", 0, 2.0), one("가", 4, 1.0)]], weight=0.5
    )
    assert [(a.start, a.end) for a in answers] == [(10, 11), (14, 15)]


def test_null_odds_are_those_of_the_best() -> None:
    assert open_null_odds([OpenAnswer("", "", "", 0, 0, 2.5, 1.0, "", 0, 0)]) == -2.5
    assert open_null_odds([]) == 1e9
