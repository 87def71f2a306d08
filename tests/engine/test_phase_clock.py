"""The seconds of a step's phases, from a clock that the test sets."""

from __future__ import annotations

import time
from typing import Any
from weakref import WeakSet

import pytest
import torch
from support.regression import make_run

from qa.engine.phase_clock import MOST_MARKS, NO_CLOCK, PhaseClock

CPU = torch.device("cpu")


class Time:
    """Stands in for `time.perf_counter`."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock_time(monkeypatch: pytest.MonkeyPatch) -> Time:
    now = Time()
    monkeypatch.setattr(time, "perf_counter", now)
    return now


def begin(clock: PhaseClock, now: Time, phase: str, seconds: float) -> None:
    """Begin a phase that takes so long; "" stops the clock."""
    if phase:
        clock.start(phase)
    else:
        clock.stop()
    now.now += seconds


def test_sums_by_hand(clock_time: Time) -> None:
    clock = PhaseClock(CPU)
    for phase, seconds in [
        *[("data", 1.0), ("forward", 2.0), ("backward", 4.0), ("", 100.0)],
        *[("data", 0.5), ("forward", 0.25), ("forward", 0.25), ("", 50.0)],
    ]:
        begin(clock, clock_time, phase, seconds)
    assert clock.compute() == {"data": 1.5, "forward": 2.5, "backward": 4.0}
    assert clock.compute() == {}


def test_a_phase_that_goes_on_is_counted_when_it_has_ended(clock_time: Time) -> None:
    clock = PhaseClock(CPU)
    begin(clock, clock_time, "data", 1.0)
    begin(clock, clock_time, "forward", 3.0)
    assert clock.compute() == {"data": 1.0}
    clock_time.now += 2.0
    begin(clock, clock_time, "", 9.0)
    assert clock.compute() == {"forward": 5.0}


def test_stop_before_any_start(clock_time: Time) -> None:
    clock = PhaseClock(CPU)
    assert clock.compute() == {}
    begin(clock, clock_time, "", 3.0)
    begin(clock, clock_time, "data", 1.0)
    clock.stop()
    assert clock.compute() == {"data": 1.0}


def test_without_a_device_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise AssertionError("the time was read")

    monkeypatch.setattr(time, "perf_counter", fail)
    for clock in (PhaseClock(None), NO_CLOCK):
        clock.start("data")
        clock.stop()
        assert clock.compute() == {}


class Moment(float):
    """A time that counts how many of its kind there are."""

    alive = 0

    def __init__(self, seconds: float) -> None:
        Moment.alive += 1

    def __del__(self) -> None:
        Moment.alive -= 1


def test_marks_that_nobody_asks_for_are_added_up(
    clock_time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: Moment(clock_time.now))
    clock = PhaseClock(CPU)
    most = 0
    rounds = MOST_MARKS + 7
    for _ in range(rounds):
        for phase, seconds in [("data", 1.0), ("forward", 2.0), ("", 8.0)]:
            begin(clock, clock_time, phase, seconds)
            most = max(most, Moment.alive)
    assert most <= MOST_MARKS
    assert clock.compute() == {"data": rounds, "forward": 2.0 * rounds}
    assert Moment.alive == 1


class Stream:
    """A device that is `lag` marks behind the host, and its events: a stand-in for CUDA's."""

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self.recorded = 0
        self.passed = 0  # marks that the device is known to have come to
        self.waits = 0
        self.alive: WeakSet[Event] = WeakSet()

    def event(self, enable_timing: bool) -> Event:
        assert enable_timing
        return Event(self)


class Event:
    """The n-th event takes place at n seconds."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        stream.alive.add(self)

    def record(self, stream: Stream) -> None:
        assert stream is self.stream
        stream.recorded += 1
        self.number = stream.recorded

    def query(self) -> bool:
        self.stream.passed = max(self.stream.passed, self.stream.recorded - self.stream.lag)
        return self.number <= self.stream.passed

    def synchronize(self) -> None:
        self.stream.waits += 1
        self.stream.passed = max(self.stream.passed, self.number)

    def elapsed_time(self, end: Event) -> float:
        """In ms; like CUDA's it needs both events to have taken place."""
        assert max(self.number, end.number) <= self.stream.passed
        return 1000.0 * (end.number - self.number)


@pytest.mark.parametrize("lag", [0, 1, 700, 2 * MOST_MARKS])
def test_marking_never_waits_for_a_gpu(lag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(lag)
    monkeypatch.setattr(torch.cuda, "Event", stream.event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    clock = PhaseClock(torch.device("cuda"))
    rounds, most = 2 * MOST_MARKS, 0
    for _ in range(rounds):
        for phase in ("data", "forward"):
            clock.start(phase)
        clock.stop()
        most = max(most, len(stream.alive))
    assert stream.waits == 0
    assert most <= MOST_MARKS + lag
    seconds = clock.compute()
    assert {name: seconds[name] for name in ("data", "forward")} == {
        "data": rounds,
        "forward": rounds,
    }
    assert stream.waits == 1
    assert len(stream.alive) == 1


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_marking_does_not_wait_for_this_gpu() -> None:
    device = torch.device("cuda")
    clock = PhaseClock(device)
    matrix = torch.ones(8192, 8192, device=device)
    for _ in range(MOST_MARKS - 5):
        clock.start("data")
    torch.cuda.synchronize()
    clock.start("forward")
    for _ in range(100):  # some seconds
        matrix = matrix @ matrix
    over = torch.cuda.Event()
    over.record()
    for _ in range(10):  # the most marks are reached among these
        clock.start("backward")
    assert not over.query()
    clock.stop()
    seconds = clock.compute()
    assert over.query()
    assert seconds["forward"] > seconds["backward"] >= 0


def test_phases_of_a_run() -> None:
    run = make_run(max_steps=6, gradient_accumulation_steps=2)
    began = time.perf_counter()
    inside = 0.0
    for _ in run.steps():
        paused = time.perf_counter()
        time.sleep(0.02)  # the caller's time is in no phase
        inside += time.perf_counter() - paused
    seconds = run.clock.compute()
    spent = time.perf_counter() - began - inside
    assert seconds.keys() == {"data", "forward", "backward", "optimizer"}
    assert all(value > 0 for value in seconds.values())
    assert sum(seconds.values()) <= spent
