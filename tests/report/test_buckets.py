"""Groups of questions, by hand; what a group loses is checked in test_content.py."""

from __future__ import annotations

import pytest

from qa.data.examples import Example
from qa.report.buckets import answer_length, context_length, position, question_word


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("이 시집을 쓴 사람은 누구인가?", "who"),
        ("누가 다리를 놓았나?", "who"),
        ("언제 태어났나?", "when"),
        ("몇 년에 무너졌는가?", "when"),
        ("몇년도에 세워졌나?", "when"),
        ("며칠에 열렸나?", "when"),
        ("몇 년 동안 살았나?", "how many"),
        ("산의 높이는 몇 미터인가?", "how many"),
        ("얼마나 걸렸나?", "how many"),
        ("어디에서 자랐나?", "where"),
        ("어느 나라에서 왔나?", "where"),
        ("왜 떠났나?", "why"),
        ("임진왜란이 끝난 해는?", "none"),
        ("어떻게 건넜나?", "how"),
        ("무엇으로 끝나는가?", "what, which"),
        ("어느 강을 건너는가?", "what, which"),
        ("도하늘의 시집은?", "none"),
        ("Who wrote it?", "who"),
        ("What year was it built?", "when"),
        ("How many bridges are there?", "how many"),
        ("How does it end?", "how"),
        ("Which river?", "what, which"),
        ("Somewhere, nobody knows", "none"),
    ],
)
def test_question_word(question: str, word: str) -> None:
    assert question_word(question) == word


@pytest.mark.parametrize(
    ("length", "start", "name", "fifth"),
    [
        (1, 0, "1–2", "first fifth"),
        (2, 19, "1–2", "first fifth"),
        (3, 20, "3–4", "second fifth"),
        (4, 40, "3–4", "third fifth"),
        (5, 79, "5–8", "fourth fifth"),
        (16, 80, "9–16", "last fifth"),
        (1, 99, "1–2", "last fifth"),
        (17, 0, "17+", "first fifth"),
    ],
)
def test_answer_length_and_position(length: int, start: int, name: str, fifth: str) -> None:
    example = Example("1", "?", "가" * 100, ("가" * length,), (start,))
    assert (answer_length(example), position(example)) == (name, fifth)


def test_without_an_answer() -> None:
    example = Example("1", "?", "가" * 100)
    assert (answer_length(example), position(example)) == ("no answer", "no answer")


@pytest.mark.parametrize(
    ("length", "name"), [(1, "1–200"), (200, "1–200"), (201, "201–400"), (1601, "1601+")]
)
def test_context_length(length: int, name: str) -> None:
    assert context_length(Example("1", "?", "가" * length)) == name
