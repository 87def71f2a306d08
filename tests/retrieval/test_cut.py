"""Documents cut into passages."""

from __future__ import annotations

import time
from unicodedata import normalize

from hypothesis import given, settings
from hypothesis import strategies as st

from qa.retrieval.cut import cut_passages

PIECES = st.sampled_from(
    ["그는 집에 갔다.", "She left.", " ", "\n", "\n\n", "긴낱말" * 30, "3.14", "Dr. ", "끝", "。"]
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.integers(50, 200))
def test_nothing_but_blanks_is_lost_and_offsets_are_right(text: str, size: int) -> None:
    end = 0
    for start, passage in cut_passages(text, size):
        assert text[start : start + len(passage)] == passage
        assert passage == passage.strip() != ""
        assert len(passage) <= size + size // 4 + 1  # a short rest may have joined the last one
        assert not text[end:start].strip()
        end = start + len(passage)
    assert not text[end:].strip()


def test_passages_end_where_sentences_end() -> None:
    sentences = [f"이것은 {i}번째 문장이다." for i in range(60)]
    passages = cut_passages(" ".join(sentences), 100)
    assert len(passages) > 5
    assert all(passage.endswith("문장이다.") for _, passage in passages)
    assert " ".join(passage for _, passage in passages) == " ".join(sentences)


def test_a_long_sentence_is_cut_between_words() -> None:
    words = " ".join(["낱말하나"] * 100)
    passages = [passage for _, passage in cut_passages(words, 120)]
    assert {word for passage in passages for word in passage.split(" ")} == {"낱말하나"}


def test_time_grows_with_the_length_only() -> None:
    started = time.process_time()
    assert len(cut_passages("낱말을 늘어놓은 줄\n" * 200_000, 500)) > 4000
    assert time.process_time() - started < 2


def test_a_syllable_of_several_characters_stays_whole() -> None:
    text = normalize("NFD", "각" * 200)
    assert all(passage[0] == "\u1100" for _, passage in cut_passages(text, 100))


def test_a_new_paragraph_begins_a_passage_once_one_is_half_full() -> None:
    text = "가" * 60 + ".\n\n" + "나" * 30 + "."
    assert [passage[0] for _, passage in cut_passages(text, 100)] == ["가", "나"]


def test_blank_lines_without_end_take_no_time() -> None:
    """From each of them on all of the rest was looked at."""
    text = "글이다." + "\n" * 200_000 + "끝이다."
    started = time.process_time()
    assert [piece for _, piece in cut_passages(text, 100)] == ["글이다.", "끝이다."]
    assert time.process_time() - started < 5
