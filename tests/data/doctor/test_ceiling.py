"""Ceilings against all spans that decoding gives, each scored by the official definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.articles import BACKBONE, KORQUAD_FILE
from support.tokenizers import train_byte_bpe, train_wordpiece, word_tokenizer
from support.windows import cases, fuzz, options_for

from qa.data.doctor.ceiling import Decoding, ceiling
from qa.data.examples import Example
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.metrics import korquad_exact_match, korquad_f1
from qa.models.boundary_head import NUM_CHOICES
from qa.models.span_decode import Offsets, best_spans

WHOLE_TOKENS, CHARACTERS = 1, NUM_CHOICES


def decoded_texts(window: dict[str, Any], context: str, decoding: Decoding) -> set[str]:
    """Every text that decoding can give in a window, whatever the model's scores are."""
    starts, ends = (
        torch.tensor(window[f"offset_{side}"], dtype=torch.long)[None]
        for side in ("starts", "ends")
    )
    num_tokens = starts.shape[1]
    choice = torch.arange(decoding.num_trims)
    # As the boundary head: a choice that would leave nothing of a token has probability 0.
    is_left = choice < (ends - starts).clamp(min=1)[..., None]
    trims = torch.zeros(1, num_tokens, 2, decoding.num_trims)
    trims = trims.masked_fill(~is_left[:, :, None], float("-inf"))
    spans = best_spans(
        torch.zeros(1, num_tokens),
        torch.zeros(1, num_tokens),
        Offsets(starts, ends, num_tokens - 1),
        10**6,
        decoding.max_answer_length,
        trims,
    )
    return {
        context[starts[0, first] + front : ends[0, last] - back]
        for score, first, last, front, back in zip(
            *(each[0].tolist() for each in spans), strict=True
        )
        if score > float("-inf")
    }


def by_brute_force(
    example: Example, windows: list[dict[str, Any]], decoding: Decoding
) -> tuple[float, float]:
    """The best of all texts against all gold answers."""
    texts = set().union(*(decoded_texts(w, example.context, decoding) for w in windows))
    pairs = [(text, gold) for text in texts for gold in example.gold_answers]
    return (
        max((korquad_exact_match(*pair) for pair in pairs), default=0.0),
        max((korquad_f1(*pair) for pair in pairs), default=0.0),
    )


def found(
    example: Example, windows: list[dict[str, Any]], decoding: Decoding
) -> tuple[float, float]:
    offsets = [(window["offset_starts"], window["offset_ends"]) for window in windows]
    return ceiling(example.context, example.gold_answers, offsets, decoding)


@given(
    case=cases(),
    others=st.lists(st.text("가나강나루 .()《》Aa'1921İ\u0301", max_size=6), max_size=2),
    longest=st.integers(1, 6),
    num_trims=st.sampled_from([WHOLE_TOKENS, 2, CHARACTERS]),
)
@fuzz
def test_every_span_of_every_window(
    any_tokenizer: Any, case: Any, others: list[str], longest: int, num_trims: int
) -> None:
    """Gold answers of the context, and texts that may stand nowhere."""
    example = case.example
    golds = (*example.answers, *others)
    example = Example("0", example.question, example.context, (), (), "", golds)
    windows = list(iterate_windows([example], any_tokenizer, options_for(any_tokenizer, case)))
    decoding = Decoding(longest, num_trims)
    best = found(example, windows, decoding)
    assert best == pytest.approx(by_brute_force(example, windows, decoding))


def test_a_capital_sigma_is_counted_at_its_best() -> None:
    """`str.lower` makes two letters of it, by its place; as an end of a word F1 is a bound only."""
    context = "ΑΣ β"
    windows = list(
        iterate_windows(
            [Example("0", "가", context)], word_tokenizer(context), WindowOptions(20, 1, 5)
        )
    )
    for gold, expected in (("ας", 1), ("ασ", 0), ("γς", 0)):
        example = Example("0", "가", context, (), (), "", (gold,))
        best = found(example, windows, Decoding(1, CHARACTERS))
        exact_match, f1 = by_brute_force(example, windows, Decoding(1, CHARACTERS))
        assert best[0] == exact_match == expected
        assert f1 <= best[1] <= 1


@pytest.mark.parametrize("tokenizer_of", [train_byte_bpe, lambda: train_wordpiece(lowercase=True)])
@given(case=cases(), longest=st.integers(1, 6))
@fuzz
def test_more_trims_and_longer_answers_reach_more(
    tokenizer_of: Any, case: Any, longest: int
) -> None:
    tokenizer = tokenizer_of()
    windows = list(iterate_windows([case.example], tokenizer, options_for(tokenizer, case)))
    whole = found(case.example, windows, Decoding(longest, WHOLE_TOKENS))
    trimmed = found(case.example, windows, Decoding(longest, CHARACTERS))
    longer = found(case.example, windows, Decoding(longest + 1, CHARACTERS))
    for less, more in ((whole, trimmed), (trimmed, longer)):
        assert all(a <= b + 1e-12 for a, b in zip(less, more, strict=True))


@pytest.mark.parametrize(
    ("context", "gold", "longest", "num_trims", "expected"),
    [
        ("강나루는 1921년에 났다", "1921년", 1, WHOLE_TOKENS, (0, 10 / 11)),
        ("강나루는 1921년에 났다", "1921년", 1, CHARACTERS, (1, 1)),
        # Two words of three: 4 letters of 6.
        ("가나 다라 마바 사", "가나 다라 마바", 2, CHARACTERS, (0, 2 * 4 / (4 + 6))),
        ("가나 다라 마바 사", "가나 다라 마바", 3, WHOLE_TOKENS, (1, 1)),
        # Eight characters behind the answer are one more than can be dropped.
        ("가나12345678 끝", "가나", 1, CHARACTERS, (0, 2 * 2 / (3 + 2))),
        # It also stands alone.
        ("가나12345678 끝 가나", "가나", 1, WHOLE_TOKENS, (1, 1)),
        # Brackets and case are no difference, a blank is one for exact match only.
        ("《Ab》 cd", "ab", 1, WHOLE_TOKENS, (1, 1)),
        ("가나 다", "가 나", 1, WHOLE_TOKENS, (0, 1)),
        # Nothing is left of either text.
        ("가 ( 나", "()", 1, WHOLE_TOKENS, (1, 0)),
        ("가 나", "()", 1, WHOLE_TOKENS, (0, 0)),
    ],
)
def test_by_hand(
    context: str, gold: str, longest: int, num_trims: int, expected: tuple[float, float]
) -> None:
    example = Example("0", "가", context, (), (), "", (gold,))
    windows = list(iterate_windows([example], word_tokenizer(context), WindowOptions(20, 1, 5)))
    best = found(example, windows, Decoding(longest, num_trims))
    assert best == pytest.approx(expected)


def test_an_answer_in_two_halves_of_two_windows() -> None:
    """Decoding sees one window at a time: 다라 마바 without the rest."""
    context = "가나 다라 마바 사아"
    example = Example("0", "가", context, ("나 다라 마바",), (1,))
    windows = list(iterate_windows([example], word_tokenizer(context), WindowOptions(6, 0, 1)))
    assert [window["length"] for window in windows] == [6, 6]
    best = found(example, windows, Decoding(30, CHARACTERS))
    assert best == pytest.approx((0, 2 * 3 / (3 + 5)))  # 나 다라


@pytest.mark.korquad
def test_questions_of_korquad() -> None:
    """Some real ones, in short windows and short answers, so that many are not reached."""
    from transformers import AutoTokenizer

    from qa.data.formats import read_examples

    tokenizer = AutoTokenizer.from_pretrained(BACKBONE)
    examples = read_examples(str(KORQUAD_FILE))[::150]
    means = []
    for number in (WHOLE_TOKENS, 2):
        decoding = Decoding(3, number)
        for example in examples:
            windows = list(iterate_windows([example], tokenizer, WindowOptions(64, 8, 32)))
            best = found(example, windows, decoding)
            assert best == pytest.approx(by_brute_force(example, windows, decoding))
            means.append(best)
    assert 0.2 < np.mean(means, axis=0)[0] < 0.9
