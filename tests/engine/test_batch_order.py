"""The order of the items: complete, reproducible, and with little padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.engine import length_grouped_batches

LENGTHS = st.lists(st.integers(1, 60), max_size=400).map(lambda x: np.array(x, dtype=np.int64))


def sample_lengths(count: int = 6000) -> np.ndarray:
    """Token counts like those of texts: lognormal, cut at 384, median 220."""
    rng = np.random.default_rng(3)
    return np.clip(rng.lognormal(np.log(220), 0.45, count), 20, 384).astype(np.int64)


def padding_share(batches: list[list[int]], lengths: np.ndarray) -> float:
    """Share of positions that are padding if each batch is padded to a multiple of 8."""
    positions = sum(len(b) * -(-int(lengths[b].max()) // 8) * 8 for b in batches)
    return 1 - sum(int(lengths[b].sum()) for b in batches) / positions


@settings(deadline=None)
@given(lengths=LENGTHS, batch_size=st.integers(1, 9), seed=st.integers(0, 2**40))
def test_every_item_comes_once_and_at_most_one_batch_is_short(
    lengths: np.ndarray, batch_size: int, seed: int
) -> None:
    for epoch in (0, 1):
        batches = length_grouped_batches(lengths, batch_size, seed=seed, epoch=epoch)
        assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
        sizes = sorted((len(batch) for batch in batches), reverse=True)
        assert sizes[:-1] == [batch_size] * (len(batches) - 1)
        assert len(batches) == -(-len(lengths) // batch_size)


@pytest.mark.parametrize("size", [63, 64, 65, 127, 128, 129, 200])
def test_complete_around_the_borders_of_a_chunk_of_64_batches(size: int) -> None:
    lengths = np.arange(2 * size)[::-1].copy()
    batches = length_grouped_batches(lengths, 2, seed=0, epoch=0)
    assert sorted(i for batch in batches for i in batch) == list(range(2 * size))
    assert {len(batch) for batch in batches} == {2}


@settings(deadline=None, max_examples=50)
@given(
    lengths=LENGTHS,
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
)
def test_the_order_depends_on_seed_and_epoch_alone(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> None:
    first = length_grouped_batches(lengths, batch_size, seed=seed, epoch=epoch)
    np.random.seed(0)
    assert length_grouped_batches(lengths, batch_size, seed=seed, epoch=epoch) == first


def test_epochs_and_seeds_differ() -> None:
    lengths = sample_lengths(200)
    orders = [
        length_grouped_batches(lengths, 4, seed=seed, epoch=epoch)
        for seed in (1, 2)
        for epoch in (0, 1, 2)
    ]
    assert all(orders[i] != orders[j] for i in range(6) for j in range(i))
    members = [{frozenset(batch) for batch in order} for order in orders]
    assert all(members[i] != members[j] for i in range(6) for j in range(i))


@settings(deadline=None, max_examples=50)
@given(lengths=LENGTHS, batch_size=st.integers(1, 9), data=st.data())
def test_indices_choose_the_items(
    lengths: np.ndarray, batch_size: int, data: st.DataObject
) -> None:
    chosen = data.draw(st.sets(st.integers(0, max(0, len(lengths) - 1)), max_size=len(lengths)))
    indices = np.array(sorted(chosen), dtype=np.int64)
    batches = length_grouped_batches(lengths, batch_size, seed=1, epoch=0, indices=indices)
    assert sorted(i for batch in batches for i in batch) == sorted(chosen)


def test_indices_are_not_changed() -> None:
    indices = np.arange(50)[::-1].copy()
    length_grouped_batches(sample_lengths(50), 4, seed=1, epoch=0, indices=indices)
    assert indices.tolist() == list(range(49, -1, -1))


def test_less_than_5_percent_is_padding() -> None:
    lengths = sample_lengths()
    batches = length_grouped_batches(lengths, 16, seed=42, epoch=0)
    shuffled = np.random.default_rng(0).permutation(len(lengths)).tolist()
    plain = [shuffled[i : i + 16] for i in range(0, len(shuffled), 16)]
    assert padding_share(batches, lengths) < 0.05
    assert padding_share(plain, lengths) > 0.25  # what shuffling alone would cost


def test_one_batch_per_chunk_is_a_plain_shuffle() -> None:
    """The batches hold what they would if all lengths were the same."""
    lengths = sample_lengths(1000)
    options: dict[str, Any] = {"batch_size": 16, "seed": 42, "epoch": 0, "batches_per_chunk": 1}
    batches = length_grouped_batches(lengths, **options)
    alike = length_grouped_batches(np.full(1000, 7), **options)
    assert [set(batch) for batch in batches] == [set(batch) for batch in alike]
    assert sorted(i for batch in batches for i in batch) == list(range(1000))
    assert padding_share(batches, lengths) > 0.25
    grouped = length_grouped_batches(lengths, **{**options, "batches_per_chunk": 64})
    assert padding_share(grouped, lengths) < 0.1


def test_long_and_short_batches_are_mixed_over_the_epoch() -> None:
    """Sorted batches would begin short and end long: a correlation of about 0.9 with the time."""
    lengths = sample_lengths(1024)
    correlations = []
    for epoch in range(20):
        batches = length_grouped_batches(lengths, 16, seed=42, epoch=epoch)
        means = [lengths[batch].mean() for batch in batches]
        correlations.append(np.corrcoef(means, np.arange(len(means)))[0, 1])
    assert abs(np.mean(correlations)) < 0.1  # by chance 1 / sqrt(20 * 64) = 0.03
