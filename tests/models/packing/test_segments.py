"""Packed axis <-> matrix of windows, against rows cut and filled one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.models.packing.cpu_attention import attend_on_cpu
from qa.models.packing.segments import Scratch, Segments, round_coarsely

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def make_segments(lengths: list[int], spare: int = 0) -> Segments:
    """Segments in a matrix that is `spare` columns wider than the longest window."""
    width = max(lengths) + spare
    slots = [row * width + column for row, n in enumerate(lengths) for column in range(n)]
    return Segments(torch.tensor(slots), (len(lengths), width), Scratch(), attend_on_cpu, lengths)


@settings(deadline=None)
@given(lengths=LENGTHS, spare=st.integers(0, 3))
def test_rows_are_the_windows_and_fill(lengths: list[int], spare: int) -> None:
    segments = make_segments(lengths, spare)
    packed = torch.randn(sum(lengths), 2, 3)
    rows = segments.to_rows(packed, -7.0)
    assert rows.shape == (*segments.shape, 2, 3)
    for row, window, n in zip(rows, torch.split(packed, lengths), lengths, strict=True):
        assert torch.equal(row[:n], window)
        assert torch.equal(row[n:], torch.full_like(row[n:], -7.0))
    assert torch.equal(segments.from_rows(rows), packed)


@settings(deadline=None)
@given(lengths=LENGTHS, spare=st.integers(0, 3))
def test_mask_and_positions_count_each_window_from_0(lengths: list[int], spare: int) -> None:
    segments = make_segments(lengths, spare)
    assert segments.positions.tolist() == [i for n in lengths for i in range(n)]
    mask = segments.mask
    assert mask.dtype == torch.bool
    assert mask.tolist() == [[i < n for i in range(segments.shape[1])] for n in lengths]


def test_rows_of_ids_stay_integers() -> None:
    rows = make_segments([2, 1]).to_rows(torch.tensor([5, 6, 7]), 9)
    assert rows.dtype == torch.int64
    assert rows.tolist() == [[5, 6], [7, 9]]


@pytest.mark.parametrize("fill", [0.0, float("-inf")])
def test_gradient_comes_back_to_the_tokens_alone(fill: float) -> None:
    segments = make_segments([3, 1, 4], 2)
    packed = torch.randn(8, 2, requires_grad=True)
    gradient = torch.randn(3, 6, 2)  # padding has one too, which must not go anywhere
    segments.to_rows(packed, fill).backward(gradient)
    assert packed.grad is not None
    assert torch.equal(packed.grad, segments.from_rows(gradient))
    rows = torch.randn(3, 6, 2, requires_grad=True)
    segments.from_rows(rows).backward(packed.grad)
    assert rows.grad is not None
    assert torch.equal(rows.grad, segments.to_rows(packed.grad, 0.0))


@settings(deadline=None)
@given(number=st.integers(1, 1 << 20))
def test_coarse_rounding_is_up_and_by_less_than_an_eighth(number: int) -> None:
    rounded = round_coarsely(number)
    assert number <= rounded < number + max(64, number / 8)
    assert round_coarsely(rounded) == rounded
    assert rounded % 64 == 0


def test_coarse_rounding_leaves_eight_totals_between_powers_of_2() -> None:
    assert len({round_coarsely(number) for number in range(2049, 4097)}) == 8
    assert {round_coarsely(number) for number in range(1, 513)} == set(range(64, 513, 64))
