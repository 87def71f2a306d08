"""Batches and their order: padding, counts, and which windows an epoch trains on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from qa.data.collate import Collator, make_collator
from qa.data.order import TrainingOrder


def window(length: int, with_types: bool = True, position: int = 0) -> dict[str, Any]:
    """A window of ids 1, 2, 3, ... of which the second half is context."""
    result = {
        "input_ids": np.arange(1, length + 1, dtype=np.int32),
        "start_position": position,
        "end_position": position + 1 if position else 0,
        "length": length,
    }
    if with_types:
        result["token_type_ids"] = (np.arange(length) >= length // 2).astype(np.int32)
    return result


def test_hand_worked_batch() -> None:
    batch = Collator(pad_token_id=9, max_length=4)([window(3, position=1), window(2)])
    assert batch.keys() == {
        *("input_ids", "attention_mask", "token_type_ids", "start_positions", "end_positions"),
        *("num_items", "num_tokens", "num_positions"),
    }
    assert batch["input_ids"].tolist() == [[1, 2, 3, 9], [1, 2, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 1, 1, 0], [0, 1, 0, 0]]
    assert batch["start_positions"].tolist() == [1, 0]
    assert batch["end_positions"].tolist() == [2, 0]
    assert (batch["num_items"], batch["num_tokens"], batch["num_positions"]) == (2, 5, 8)
    tensors = [value for value in batch.values() if isinstance(value, torch.Tensor)]
    assert {tensor.dtype for tensor in tensors} == {torch.int64}
    counts = [batch[name] for name in ("num_items", "num_tokens", "num_positions")]
    assert [type(count) for count in counts] == [int] * 3


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
    batch = Collator(0, max_length)([window(length) for length in lengths])
    assert batch["input_ids"].shape == (len(lengths), width)
    assert batch["num_positions"] == len(lengths) * width
    assert batch["num_tokens"] == sum(lengths) == int(batch["attention_mask"].sum())


def test_no_token_types_without_a_model_that_takes_them() -> None:
    assert "token_type_ids" not in Collator(0, 64)([window(5, with_types=False)])


def test_padding_follows_the_tokenizer(any_tokenizer: Any) -> None:
    pad = make_collator(any_tokenizer, 64)([window(5), window(3)])["input_ids"][1, 3:]
    assert set(pad.tolist()) == {any_tokenizer.pad_token_id}


def test_tokenizer_without_padding_can_be_used() -> None:
    class NoPadding:
        pad_token_id = None

    batch = make_collator(NoPadding(), 64)([window(5), window(3)])
    assert batch["attention_mask"][1].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]


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


def test_negatives_are_drawn_anew_in_each_epoch() -> None:
    order = make_order(0.5)
    negatives = set(np.flatnonzero(~order.has_answer).tolist())
    drawn = [frozenset(windows_of(order, epoch)) & negatives for epoch in range(8)]
    assert len(set(drawn)) > 4
    assert set().union(*drawn) == negatives  # in time every one has its turn


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
    states = np.random.get_state()[1].tolist(), torch.get_rng_state()
    make_order(0.5)(0)
    assert np.random.get_state()[1].tolist() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])


def test_batches_hold_windows_of_like_length() -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(10, 300, 512)
    order = TrainingOrder(lengths, np.ones(512, dtype=bool), 1.0, 8, 0)
    padded = sum(len(batch) * lengths[batch].max() for batch in order(0))
    shuffled = rng.permutation(512).reshape(-1, 8)
    at_random = sum(8 * lengths[batch].max() for batch in shuffled)
    assert padded < 1.05 * lengths.sum()
    assert at_random > 1.5 * lengths.sum()
