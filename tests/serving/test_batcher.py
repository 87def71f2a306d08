"""The queue and its thread, without HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.serving.batcher import Batcher, Closed, Expired, QueueFull

FAR = 1e9  # a deadline that never comes


class Work:
    """Squares numbers, once `go` is set, so that others gather behind the first batch."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.has_begun = threading.Event()
        self.batches: list[list[int]] = []
        self.ended: list[list[int]] = []
        self.leaving: dict[int, Future[list[int]]] = {}  # cancelled while the number is squared

    def __call__(self, items: list[int], check: Callable[[], None]) -> list[int]:
        self.batches.append(items)
        self.has_begun.set()
        assert self.go.wait(60)
        for item in items:
            if item in self.leaving:
                assert self.leaving[item].cancel()
        check()
        self.ended.append(items)
        if 13 in items:
            raise RuntimeError("13")
        return [item * item for item in items]


@contextmanager
def held(max_queue: int = 100, max_batch: int = 100, max_weight: int = 100) -> Iterator[Any]:
    """(work, batcher) with the model busy with [0]."""
    work = Work()
    batcher = Batcher(work, max_queue, max_batch, max_weight)
    batcher.submit([0], 0, FAR)
    assert work.has_begun.wait(60)
    try:
        yield work, batcher
    finally:
        work.go.set()
        batcher.close()


def test_all_that_waits_is_one_batch() -> None:
    with held() as (work, batcher):
        futures = [batcher.submit([n, n + 1], 1, FAR) for n in range(1, 6)]
        assert batcher.num_waiting() == 10
        work.go.set()
        assert [future.result(60) for future in futures] == [
            [n * n, (n + 1) ** 2] for n in range(1, 6)
        ]
        assert work.batches == [[0], [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]]
        assert batcher.num_waiting() == 0


def test_a_lone_item_does_not_wait_for_others() -> None:
    work = Work()
    work.go.set()
    batcher = Batcher(work, 10, 10, 10)
    assert batcher.submit([3], 1, FAR).result(60) == [9]
    batcher.close()


@settings(max_examples=50, deadline=None)
@given(
    jobs=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 12)), max_size=12),
    max_batch=st.integers(1, 8),
    max_weight=st.integers(1, 20),
)
def test_batches_are_full_ordered_and_within_bounds(
    jobs: list[tuple[int, int]], max_batch: int, max_weight: int
) -> None:
    """Each item's result reaches who asked; no batch could have taken the job behind it."""
    with held(max_batch=max_batch, max_weight=max_weight) as (work, batcher):
        waiting, number = [], 20
        for size, weight in jobs:
            items = list(range(number, number + size))
            waiting.append((items, weight, batcher.submit(items, weight, FAR)))
            number += size
        work.go.set()
        for items, _, future in waiting:
            assert future.result(60) == [item * item for item in items]
    place = 0
    for batch in work.batches[1:]:
        taken: list[int] = []
        size = weight = 0
        while taken != batch:
            items, its_weight, _ = waiting[place]
            size, weight, place = size + len(items), weight + its_weight, place + 1
            is_alone = not taken
            taken += items
            assert is_alone or (size <= max_batch and weight <= max_weight)
        if place < len(waiting):
            items, its_weight, _ = waiting[place]
            assert size + len(items) > max_batch or weight + its_weight > max_weight
    assert place == len(waiting)


def test_a_full_queue_refuses_and_says_for_how_long() -> None:
    with held(max_queue=3) as (work, batcher):
        kept = batcher.submit([1, 2], 1, FAR)
        with pytest.raises(QueueFull) as refused:
            batcher.submit([3, 4], 1, FAR)
        assert refused.value.retry_after == 1  # nothing was measured yet
        last = batcher.submit([5], 1, FAR)
        with pytest.raises(QueueFull):
            batcher.submit([6], 1, FAR)
        work.go.set()
        assert (kept.result(60), last.result(60)) == ([1, 4], [25])


def test_the_time_to_wait_is_that_of_the_queue() -> None:
    """0.3 s an item: at least 1.2 s for four."""
    work = Work()
    batcher = Batcher(work, 4, 1, 100)
    first = batcher.submit([0], 0, FAR)
    time.sleep(0.3)
    work.go.set()
    first.result(60)
    work.go.clear()
    work.has_begun.clear()
    batcher.submit([1], 1, FAR)
    assert work.has_begun.wait(60)
    for item in range(4):
        batcher.submit([item], 1, FAR)
    with pytest.raises(QueueFull) as refused:
        batcher.submit([6], 1, FAR)
    assert 2 <= refused.value.retry_after <= 60
    work.go.set()
    batcher.close()


def test_the_expired_never_reach_the_work() -> None:
    with held() as (work, batcher):
        late = batcher.submit([1], 1, time.monotonic() - 1e-6)
        good = batcher.submit([2], 1, FAR)
        work.go.set()
        assert good.result(60) == [4]
        assert isinstance(late.exception(60), Expired)
        assert work.batches == [[0], [2]]


def test_the_cancelled_leave_and_make_room() -> None:
    with held(max_queue=2) as (work, batcher):
        left = batcher.submit([1, 2], 1, FAR)
        with pytest.raises(QueueFull):
            batcher.submit([3], 1, FAR)
        assert left.cancel()
        assert batcher.num_waiting() == 0
        good = batcher.submit([3], 1, FAR)
        work.go.set()
        assert good.result(60) == [9]
        with pytest.raises(CancelledError):
            left.result(60)
        assert work.batches == [[0], [3]]


def test_what_was_begun_goes_on_until_nobody_waits_for_it() -> None:
    with held(max_batch=2) as (work, batcher):
        futures = {n: batcher.submit([n], 1, FAR) for n in (1, 2, 3, 4, 5, 13, 6)}
        work.leaving = {n: futures[n] for n in (1, 3, 4, 13)}
        work.go.set()
        assert [futures[n].result(60) for n in (2, 5, 6)] == [[4], [25], [36]]
        assert all(future.cancelled() for future in work.leaving.values())
    assert work.batches == [[0], [1, 2], [3, 4], [5, 13], [5], [13], [6]]
    assert work.ended == [[0], [1, 2], [5, 13], [5], [6]]
    assert batcher.failures == 0
    assert sum(batcher.work_seconds.counts) == 4


def test_one_that_fails_does_not_fail_the_others_of_its_batch() -> None:
    with held() as (work, batcher):
        futures: list[Future[list[int]]] = [batcher.submit([n], 1, FAR) for n in (12, 13, 14)]
        work.go.set()
        assert futures[0].result(60) == [144]
        assert str(futures[1].exception(60)) == "13"
        assert futures[2].result(60) == [196]
        assert work.batches == [[0], [12, 13, 14], [12], [13], [14]]
        assert not batcher.is_broken


def test_it_is_broken_after_three_failures_in_a_row_until_something_works() -> None:
    work = Work()
    work.go.set()
    batcher = Batcher(work, 10, 10, 10)
    states = []
    for item in (13, 13, 13, 1):
        batcher.submit([item], 1, FAR).exception(60)
        states.append(batcher.is_broken)
    assert states == [False, False, True, False]
    batcher.close()


def test_closing_answers_what_waits_and_takes_nothing_more() -> None:
    with held() as (work, batcher):
        waiting = batcher.submit([5], 1, FAR)
        closing = threading.Thread(target=batcher.close)
        closing.start()
        while True:
            try:
                batcher.submit([6], 1, FAR).cancel()
            except Closed:
                break
        assert closing.is_alive()
        work.go.set()
        closing.join(60)
        assert waiting.done()
        assert waiting.result() == [25]
        assert not closing.is_alive()


def test_what_is_measured() -> None:
    with held() as (work, batcher):
        batcher.submit([1, 2, 3], 1, FAR)
        last = batcher.submit([4], 1, FAR)
        work.go.set()
        last.result(60)
    assert (batcher.batch_size.sum, sum(batcher.batch_size.counts)) == (5, 2)
    assert sum(batcher.queue_seconds.counts) == 3  # requests
    assert sum(batcher.work_seconds.counts) == 2
