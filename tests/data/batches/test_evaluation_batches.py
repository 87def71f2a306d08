"""Batches that are full: nothing is lost, nothing too large, and little left empty."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.data.batches.evaluation_batches import filled_batches, padded_batches

LENGTHS = st.lists(st.integers(1, 50), max_size=60)


@settings(deadline=None)
@given(lengths=LENGTHS, max_tokens=st.integers(1, 120))
@pytest.mark.parametrize("make", [filled_batches, padded_batches])
def test_every_window_is_in_one_batch_that_holds_it(
    make: Callable[[list[int], int], list[list[int]]], lengths: list[int], max_tokens: int
) -> None:
    batches = make(lengths, max_tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        own = [lengths[index] for index in batch]
        size = sum(own) if make is filled_batches else len(own) * max(own)
        assert size <= max_tokens or len(own) == 1


@settings(deadline=None)
@given(lengths=LENGTHS, max_tokens=st.integers(50, 120))
def test_no_window_would_have_fitted_into_an_earlier_batch(
    lengths: list[int], max_tokens: int
) -> None:
    """What first-fit guarantees, checked on its result."""
    batches = filled_batches(lengths, max_tokens)
    totals = [sum(lengths[index] for index in batch) for batch in batches]
    for number, batch in enumerate(batches):
        for index in batch:
            assert all(total + lengths[index] > max_tokens for total in totals[:number])


@settings(deadline=None)
@given(lengths=LENGTHS, max_tokens=st.integers(1, 120))
def test_batches_are_those_of_first_fit(lengths: list[int], max_tokens: int) -> None:
    """Oracle: each window, the longest first, looks at every batch from the first one on."""
    expected: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        for batch in expected:
            if sum(lengths[i] for i in batch) + lengths[index] <= max_tokens:
                batch.append(index)
                break
        else:
            expected.append([index])
    assert filled_batches(lengths, max_tokens) == expected


class Counted(int):
    """A length that counts how often one is compared with the capacity of a batch."""

    comparisons = 0

    def _count(self, other: object, compare: Callable[[Any, Any], bool]) -> bool:
        Counted.comparisons += 1
        return compare(int(self), other)

    def __lt__(self, other: object) -> bool:
        return self._count(other, operator.lt)

    def __le__(self, other: object) -> bool:
        return self._count(other, operator.le)

    def __gt__(self, other: object) -> bool:
        return self._count(other, operator.gt)

    def __ge__(self, other: object) -> bool:
        return self._count(other, operator.ge)


def test_windows_of_a_long_document_are_distributed_quickly() -> None:
    """Nearly all are full. Looking at every batch for every one took 10 million comparisons."""
    lengths = [Counted(length) for length in [*[384] * 10_000, *range(100, 384)]]
    Counted.comparisons = 0
    batches = filled_batches(lengths, 2048)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert 0 < Counted.comparisons < 1_000_000


@settings(deadline=None)
@given(lengths=LENGTHS, max_tokens=st.integers(50, 120))
def test_padded_batches_hold_windows_of_similar_length(lengths: list[int], max_tokens: int) -> None:
    batches = padded_batches(lengths, max_tokens)
    in_order = [lengths[index] for batch in batches for index in batch]
    assert in_order == sorted(lengths, reverse=True)
    for batch, following in zip(batches, batches[1:], strict=False):
        assert (len(batch) + 1) * lengths[batch[0]] > max_tokens
        assert following


def test_windows_of_full_length() -> None:
    """As many as the batch size says."""
    for make in (filled_batches, padded_batches):
        assert [len(batch) for batch in make([384] * 70, 32 * 384)] == [32, 32, 6]
