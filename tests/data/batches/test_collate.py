"""Batches and their order: slots, counts, and which windows an epoch trains on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.data.batches.collate import Collator, find_reach, offset_rows
from qa.data.batches.training_order import TrainingOrder
from qa.data.windows.cut import NO_TRIM
from qa.models.packing.batch_form import batch_form
from qa.models.packing.segments import round_coarsely, round_up


def window(length: int, with_types: bool = True, position: int = 0) -> dict[str, Any]:
    """A window of ids 1, 2, 3, ... of which the second half is context.

    Token i of it covers i characters.
    """
    positions = np.arange(length, dtype=np.int32)
    is_context = positions >= length // 2
    result = {
        "input_ids": positions + 1,
        "offset_starts": np.where(is_context, 9 * positions, -1),
        "offset_ends": np.where(is_context, 10 * positions, -1),
        "start_trim": 0 if position else NO_TRIM,
        "end_trim": 1 if position else NO_TRIM,
        "start_position": position,
        "end_position": position + 1 if position else 0,
        "length": length,
    }
    if with_types:
        result["token_type_ids"] = (np.arange(length) >= length // 2).astype(np.int32)
    return result


def test_hand_worked_batch() -> None:
    batch = Collator(max_length=4)([window(3, position=1), window(2)])
    counts = ("num_items", "num_tokens", "num_token_pairs", "num_positions")
    assert batch.keys() == {
        *("input_ids", "slots", "bounds", "lengths", "shape", "token_type_ids"),
        *("num_characters", "start_positions", "end_positions", "start_trims", "end_trims"),
        *counts,
    }
    assert batch["input_ids"].tolist() == [1, 2, 3, 1, 2]
    assert batch["slots"].tolist() == [0, 1, 2, 4, 5]
    assert (batch["lengths"], batch["shape"]) == ([3, 2], (2, 4))
    assert batch["token_type_ids"].tolist() == [0, 1, 1, 0, 1]
    assert batch["start_positions"].tolist() == [1, 0]
    assert batch["end_positions"].tolist() == [2, 0]
    assert batch["num_characters"].tolist() == [0, 1, 2, 0, 1]
    assert batch["start_trims"].tolist() == [0, NO_TRIM]
    assert batch["end_trims"].tolist() == [1, NO_TRIM]
    assert [batch[name] for name in counts] == [2, 5, 9 + 4, 5]
    bounds = batch.pop("bounds")
    assert (bounds.tolist(), bounds.dtype) == ([0, 3, 5, 5], torch.int32)
    tensors = [value for value in batch.values() if isinstance(value, torch.Tensor)]
    assert {tensor.dtype for tensor in tensors} == {torch.int64}
    numbers = [*(batch[name] for name in counts), *batch["lengths"], *batch["shape"]]
    assert {type(number) for number in numbers} == {int}  # on the host, to cut and to count


@pytest.mark.parametrize(
    ("lengths", "max_length", "width"),
    [
        ([8], 384, 8),
        ([9], 384, 16),
        ([1, 15, 16], 384, 16),
        ([17], 20, 20),  # not 24: the model may have no more positions
        ([20], 20, 20),
        ([382], 384, 384),
        ([381], 382, 382),
    ],
)
def test_width(lengths: list[int], max_length: int, width: int) -> None:
    for pads in (False, True):
        batch = Collator(max_length, pads)([window(length) for length in lengths])
        assert batch["shape"] == (len(lengths), width)
        assert batch["num_positions"] == (len(lengths) * width if pads else sum(lengths))
        assert batch["num_tokens"] == sum(lengths) == len(batch["input_ids"])


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_slots_put_each_window_into_a_row_of_its_own(lengths: list[int]) -> None:
    batch = Collator(max_length=40)([window(length) for length in lengths])
    rows = torch.zeros(batch["shape"], dtype=torch.long)
    rows.view(-1)[batch["slots"]] = batch["input_ids"]
    for row, length in zip(rows, lengths, strict=True):
        assert row[:length].tolist() == list(range(1, length + 1))
        assert not row[length:].any()
    assert batch["num_token_pairs"] == sum(length**2 for length in lengths)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    step=st.integers(1, 200),
    passes=st.integers(1, 2),
    full_width=st.booleans(),
)
def test_filler_comes_behind_the_windows_and_has_no_row(
    lengths: list[int], step: int, passes: int, full_width: bool
) -> None:
    """Its pieces are no longer than the matrix is wide; it counts as positions alone."""
    windows = [window(length) for length in lengths]
    plain = Collator(40)(windows)
    rounded = partial(round_up, step=step)
    batch = Collator(40, False, rounded, full_width, passes=passes)(windows)
    own, (rows, width) = passes * sum(lengths), batch["shape"]
    total = len(batch["input_ids"])
    assert total == rounded(own)
    assert (rows, width) == (passes * len(lengths), 40 if full_width else plain["shape"][1])
    assert batch["lengths"] == lengths * passes
    for name in ("input_ids", "num_characters", "token_type_ids"):
        assert batch[name].tolist() == plain[name].tolist() * passes + [0] * (total - own)
    last_row = range(rows * width, (rows + 1) * width)
    assert set(batch["slots"][own:].tolist()) <= set(last_row)
    inner = batch["slots"][:own].tolist()
    assert len(set(inner)) == own
    assert max(inner) < rows * width
    pieces = batch["bounds"].diff().tolist()
    assert pieces[:rows] == batch["lengths"]
    assert sum(pieces) == total
    assert max(pieces) <= width
    assert len(pieces) == rows + max(1, -(-(total - own) // width))
    assert batch["num_positions"] == total // passes
    labels = ("start_positions", "end_positions", "start_trims", "end_trims")
    counts = ("num_items", "num_tokens", "num_token_pairs")
    for name in (*labels, *counts):
        assert torch.equal(torch.as_tensor(batch[name]), torch.as_tensor(plain[name]))


# Every 1/32 quantile of the lengths of KorQuAD's windows of at most 384 tokens, overlap 128.
KORQUAD = np.array(
    [146, 168, 198, 211, 218, 224, 230, 234, 239, 243, 248, 254, 259, 264, 270, 276, 283]
    + [288, 295, 302, 311, 320, 330, 339, 354, 371, *[384] * 7]
)


def test_batches_of_a_gpu_have_few_shapes() -> None:
    """At most 8 totals in an epoch of 16 windows each, and under 4 % of filler."""
    rng = np.random.default_rng(0)
    lengths = np.interp(rng.random(5500), np.linspace(0, 1, 33), KORQUAD).astype(int)
    order = TrainingOrder(lengths, np.ones(5500, dtype=bool), 1.0, 16, 0, groups_lengths=False)
    form = batch_form(True, torch.device("cuda"), 384, trains=True)
    collate = Collator(384, *form)
    shapes, own, computed = set(), 0, 0
    for indices in order(0)[:-1]:  # the last one has fewer windows
        batch = collate([window(lengths[index]) for index in indices])
        tensors = {name: x for name, x in batch.items() if isinstance(x, torch.Tensor)}
        shapes.add((batch["shape"], *(tuple(x.shape) for x in tensors.values())))
        own += batch["num_tokens"]
        computed += batch["num_positions"]
    assert len(shapes) <= 8
    assert own < computed < 1.04 * own


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_evaluation_fills_up_coarsely(device: str) -> None:
    form = batch_form(True, torch.device(device), 384, trains=False)
    collate = Collator(384, *form)
    batch = collate([window(384)] * 5)
    assert len(batch["input_ids"]) == round_coarsely(5 * 384) == 2048 - 128
    assert batch["shape"] == (5, 384)
    assert collate([window(100)])["shape"] == (1, 104 if device == "cpu" else 384)


def test_a_model_that_pads_gets_no_filler() -> None:
    for trains in (True, False):
        form = batch_form(False, torch.device("cuda"), 384, trains)
        batch = Collator(384, *form)([window(9), window(3)])
        assert len(batch["input_ids"]) == len(batch["slots"]) == 12
        assert batch["shape"] == (2, 16)
        assert "bounds" not in batch


def test_collator_does_not_change_the_windows() -> None:
    windows = [window(3), window(2)]
    Collator(8)(windows)["input_ids"][:] = 0
    assert [w["input_ids"].tolist() for w in windows] == [[1, 2, 3], [1, 2]]


def test_no_token_types_without_a_model_that_takes_them() -> None:
    assert "token_type_ids" not in Collator(64)([window(5, with_types=False)])


def test_offsets_of_a_batch() -> None:
    windows = [window(3), window(2)]
    starts, ends = offset_rows(windows, 4)
    assert starts.tolist() == [[-1, 9, 18, 0], [-1, 9, 0, 0]]
    assert ends.tolist() == [[-1, 10, 20, 0], [-1, 10, 0, 0]]
    assert starts.dtype == ends.dtype == np.int64


@st.composite
def window_offsets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of a window; some tokens cover nothing, and several may share a character."""
    steps = st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans())
    drawn = draw(st.lists(steps, min_size=1, max_size=12))
    starts = np.cumsum([start for start, _, _ in drawn])
    ends = np.maximum.accumulate(starts + [1 + longer for _, longer, _ in drawn])
    is_empty = np.array([empty for _, _, empty in drawn])
    return np.where(is_empty, -1, starts), np.where(is_empty, -1, ends)


@settings(deadline=None)
@given(windows=st.lists(window_offsets(), min_size=1, max_size=4))
def test_reach_is_the_farthest_that_shares_a_character(
    windows: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    distances = []
    for starts, ends in windows:
        covered = [set(range(start, end)) for start, end in zip(starts, ends, strict=True)]
        distances += [
            j - i for i, own in enumerate(covered) for j, other in enumerate(covered) if own & other
        ]
    named = [
        {"length": len(starts), "offset_starts": starts, "offset_ends": ends}
        for starts, ends in windows
    ]
    assert find_reach(*offset_rows(named, 13)) == max(distances, default=0)


# Order


def make_order(ratio: float, seed: int = 3, batch_size: int = 4) -> TrainingOrder:
    """30 windows with the answer and 21 without."""
    rng = np.random.default_rng(0)
    has_answer = rng.permutation(np.arange(51) < 30)
    return TrainingOrder(rng.integers(5, 40, 51), has_answer, ratio, batch_size, seed)


def windows_of(order: TrainingOrder, epoch: int) -> list[int]:
    return [index for batch in order(epoch) for index in batch]


@pytest.mark.parametrize(
    ("ratio", "negatives"), [(0.0, 0), (0.1, 2), (0.5, 10), (0.7, 15), (1.0, 21)]
)
def test_all_positives_and_a_constant_share_of_negatives(ratio: float, negatives: int) -> None:
    """21 windows: 2.1 -> 2, 10.5 -> 10 (to even), 14.7 -> 15."""
    order = make_order(ratio)
    positives = set(np.flatnonzero(order.has_answer).tolist())
    for epoch in range(5):
        windows = windows_of(order, epoch)
        assert len(set(windows)) == len(windows) == 30 + negatives
        assert positives <= set(windows)
        sizes = sorted(len(batch) for batch in order(epoch))
        assert len(sizes) == -(-len(windows) // 4)
        assert sizes[1:] == [4] * (len(sizes) - 1)


def test_negatives_are_drawn_again_in_each_epoch() -> None:
    order = make_order(0.5)
    negatives = set(np.flatnonzero(~order.has_answer).tolist())
    drawn = [frozenset(windows_of(order, epoch)) & negatives for epoch in range(8)]
    assert len(set(drawn)) > 4
    assert set().union(*drawn) == negatives  # each is drawn sooner or later


def test_order_is_a_function_of_seed_and_epoch() -> None:
    first, again, other = make_order(0.5), make_order(0.5), make_order(0.5, seed=4)
    later = first(2)
    assert first(0) == again(0)  # whatever was asked before
    assert again(2) == later
    assert first(0) != first(1)
    assert first(0) != other(0)
    assert set(windows_of(make_order(1.0), 0)) == set(windows_of(make_order(1.0, seed=4), 0))


def test_order_does_not_touch_the_global_generators() -> None:
    np.random.seed(1)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    expected = np.random.RandomState(1).random_sample(4).tolist()
    make_order(0.5)(0)
    assert np.random.random_sample(4).tolist() == expected
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_hold_windows_of_similar_length() -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(10, 300, 512)
    order = TrainingOrder(lengths, np.ones(512, dtype=bool), 1.0, 8, 0)
    padded = sum(len(batch) * lengths[batch].max() for batch in order(0))
    shuffled = rng.permutation(512).reshape(-1, 8)
    at_random = sum(8 * lengths[batch].max() for batch in shuffled)
    assert padded < 1.05 * lengths.sum()
    assert at_random > 1.5 * lengths.sum()
    plain = replace(order, groups_lengths=False)  # for a model that does not pad
    assert sum(8 * lengths[batch].max() for batch in plain(0)) > 1.5 * lengths.sum()
    assert sorted(windows_of(plain, 0)) == list(range(512))
