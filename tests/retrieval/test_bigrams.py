"""The tokens of a text."""

from __future__ import annotations

from unicodedata import normalize

import pytest

from qa.retrieval.bigrams import bigrams


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("가나 다라", ["가나", "나다", "다라"]),
        ("GPT-4는", ["gp", "pt", "t4", "4는"]),
        ("(1921년)", ["19", "92", "21", "1년"]),
        ("제목\n_글_", ["제목", "목글"]),
        ("산", ["산"]),
        ("?! _", []),
        ("", []),
    ],
)
def test_pairs_of_letters_across_blanks(text: str, expected: list[str]) -> None:
    assert bigrams(text) == expected


def test_decomposed_text_has_the_same_tokens() -> None:
    text = "세계에서 가장 높은 산"
    assert bigrams(normalize("NFD", text)) == bigrams(text)
