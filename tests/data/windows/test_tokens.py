"""Blocks of examples that are tokenised together."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.articles import article_examples

from qa.data.examples import Example
from qa.data.windows import cut, tokens
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.data.windows.tokens import example_blocks

LIMIT = 100  # instead of CHARACTERS_PER_CALL
MOST_EXAMPLES = 256  # instead of EXAMPLES_PER_CALL


def make_examples(sizes: list[tuple[int, int]]) -> list[Example]:
    """Examples with contexts of (length, letter); the same pair is the same context."""
    return [
        Example(str(i), "q", chr(ord("a") + letter) * length)
        for i, (length, letter) in enumerate(sizes)
    ]


def blocks_of(examples: list[Example]) -> list[list[Example]]:
    with mock.patch.multiple(tokens, CHARACTERS_PER_CALL=LIMIT, EXAMPLES_PER_CALL=MOST_EXAMPLES):
        ranges = list(example_blocks(examples))
    assert [i for first, end in ranges for i in range(first, end)] == list(range(len(examples)))
    assert all(first < end for first, end in ranges)
    return [examples[first:end] for first, end in ranges]


def num_characters(block: list[Example]) -> int:
    return sum(map(len, {example.context for example in block}))


def fits(block: list[Example]) -> bool:
    return len(block) <= MOST_EXAMPLES and num_characters(block) <= LIMIT


runs = st.lists(
    st.tuples(st.integers(1, 130), st.integers(0, 2), st.integers(1, 4)), max_size=25
).map(lambda found: [(length, letter) for length, letter, times in found for _ in range(times)])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(runs)
def test_blocks_keep_to_the_limits(sizes: list[tuple[int, int]]) -> None:
    blocks = blocks_of(make_examples(sizes))
    for block in blocks:
        assert fits(block) or len({example.context for example in block}) == 1
    for block, following in zip(blocks, blocks[1:], strict=False):
        # No block is smaller than it must be.
        assert not fits([*block, following[0]])


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_many_questions_of_one_context(count: int) -> None:
    blocks = blocks_of(make_examples([(LIMIT, 0)] * count))
    sizes = [MOST_EXAMPLES] * (count // 256) + [count % 256] * bool(count % 256)
    assert [len(block) for block in blocks] == sizes


def test_limit_by_hand() -> None:
    """A context counts once in each block; one that is too long stands alone."""
    sizes = [(60, 0), (40, 1), (60, 0), (1, 2), (99, 0), (150, 1), (2, 1)]
    lengths = [[len(e.context) for e in block] for block in blocks_of(make_examples(sizes))]
    assert lengths == [[60, 40, 60], [1, 99], [150], [2]]


@pytest.mark.parametrize("limit", [1, 60, 130])
def test_windows_do_not_depend_on_the_blocks(
    limit: int, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = article_examples()
    options = WindowOptions(max_seq_length=32, window_overlap=6, max_question_length=12)
    assert len(list(example_blocks(examples))) == 1
    expected = list(iterate_windows(examples, tokenizer, options))
    monkeypatch.setattr(tokens, "CHARACTERS_PER_CALL", limit)
    monkeypatch.setattr(cut, "TOKENS_PER_CUT", limit)
    assert len(list(example_blocks(examples))) > 1
    found = list(iterate_windows(examples, tokenizer, options))
    assert len(found) == len(expected) > len(examples)
    for window, other in zip(found, expected, strict=True):
        assert window.keys() == other.keys()
        for name, value in window.items():
            assert np.array_equal(value, other[name]), name
