"""The seconds of a step's phases, from a clock that the test sets."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from test_loop import make_run

from qa.engine import phase_clock as phases
from qa.engine.phase_clock import MOST_MARKS, SILENT, PhaseClock

CPU = torch.device("cpu")


class Time:
    """What `time.perf_counter` says."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock_time(monkeypatch: pytest.MonkeyPatch) -> Time:
    now = Time()
    monkeypatch.setattr(phases.time, "perf_counter", now)
    return now


def begin(clock: PhaseClock, now: Time, phase: str, seconds: float) -> None:
    """A phase, or a stop for "", that takes so long."""
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

    monkeypatch.setattr(phases.time, "perf_counter", fail)
    for clock in (PhaseClock(None), SILENT):
        clock.start("data")
        clock.stop()
        assert clock.compute() == {}
        assert clock._marks == []


def test_marks_that_nobody_asks_for_are_added_up(clock_time: Time) -> None:
    clock = PhaseClock(CPU)
    most = 0
    rounds = MOST_MARKS + 7
    for _ in range(rounds):
        for phase, seconds in [("data", 1.0), ("forward", 2.0), ("", 8.0)]:
            begin(clock, clock_time, phase, seconds)
            most = max(most, len(clock._marks))
    assert most <= MOST_MARKS
    assert clock.compute() == {"data": rounds, "forward": 2.0 * rounds}
    assert len(clock._marks) == 1


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
