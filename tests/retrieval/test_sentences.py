"""Where sentences end."""

from __future__ import annotations

import time

import pytest

from qa.retrieval.sentences import sentence_ends


@pytest.mark.parametrize(
    "sentences",
    [
        ["그는 갔다.", " 그리고 왔다!", " 왜?"],
        ["그는 갔다.", "그녀도 갔다."],  # without a blank, as many Korean texts have it
        ['"갔다."', " 라고 말했다."],
        ["원주율은 3.14이다.", " 끝."],
        ["2020. 3. 15. 열렸다.", " 끝."],
        ["Dr. Kim met J. R. Smith, e.g. in the U.S. army.", " He left."],
        ["It is 5 p.m. now.", " Go!"],
        ["1. 서론은 짧다.", " 본론은 길다."],
        ["そうです。", "違います。"],
        ["제목", "본문이다."],
    ],
)
def test_each_sentence_is_one(sentences: list[str]) -> None:
    separator = "\n\n" if sentences[0] == "제목" else ""
    text = separator.join(sentences)
    begin, found = 0, []
    for end in sentence_ends(text):
        found.append(text[begin:end].strip())
        begin = end
    assert [each for each in found if each] == [each.strip() for each in sentences]


def test_a_long_row_of_dots_takes_no_time() -> None:
    text = "차례" + "." * 5000 + "7"
    started = time.process_time()
    assert sentence_ends(text) == [len(text)]
    assert time.process_time() - started < 0.5


def test_a_text_without_any_end_is_one_sentence() -> None:
    assert sentence_ends("끝이 없는 글") == [7]
