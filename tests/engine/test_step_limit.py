"""What limits a step, on a simulated host and GPU: what saves most time when it costs nothing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from qa.engine.phase_clock import PhaseClock
from qa.engine.step_limit import StepLimit

PHASES = ("forward", "backward", "optimizer")
LAUNCHES = {"forward": 40, "backward": 50, "optimizer": 4}  # operations that the host hands out
STEPS = 60


class Machine:
    """A host whose clock moves as it works, and a GPU that does in turn what it is handed.

    The host waits if it is `depth` operations ahead, as CUDA's queue makes it wait.
    """

    def __init__(self, depth: int) -> None:
        self.now = 0.0
        self.ends: deque[float] = deque([0.0], maxlen=depth)  # of the last operations on the GPU
        self.waits = 0

    def launch(self, host: float, device: float) -> None:
        self.now += host
        if len(self.ends) == self.ends.maxlen:
            self.now = max(self.now, self.ends[0])
        self.ends.append(max(self.now, self.ends[-1]) + device)

    def event(self, enable_timing: bool) -> Event:
        return Event(self)


class Event:
    """An event of the machine's stream; what CUDA's does, as far as a clock needs it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def record(self, stream: Machine) -> None:
        self.at = max(stream.now, stream.ends[-1])

    def query(self) -> bool:
        return self.at <= self.machine.now

    def synchronize(self) -> None:
        self.machine.waits += 1
        self.machine.now = max(self.machine.now, self.at)

    def elapsed_time(self, end: Event) -> float:
        assert self.query()
        assert end.query()
        return 1000 * (end.at - self.at)


@contextmanager
def simulated(machine: Machine) -> Iterator[PhaseClock]:
    """A clock on the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: machine.now)
        patch.setattr(torch.cuda, "Event", machine.event)
        patch.setattr(torch.cuda, "current_stream", lambda device: machine)
        yield PhaseClock(torch.device("cuda"))


def train(
    data: float, host: float, device: float, depth: int = 60, log_every: int = 10
) -> tuple[float, StepLimit]:
    """Seconds of a simulated run, and its limit.

    Args:
        data: Seconds in which the host gets the data of a step.
        host: Seconds in which it hands out a step.
        device: Seconds in which the GPU computes a step.
        depth: Operations that the host may be ahead; by default less than a step's.
        log_every: Steps after which the clock is read.
    """
    machine, limit = Machine(depth), StepLimit()
    with simulated(machine) as clock:
        for step in range(1, STEPS + 1):
            clock.start("data")
            machine.now += data
            for phase in PHASES:
                clock.start(phase)
                for _ in range(LAUNCHES[phase]):
                    share = 1 / sum(LAUNCHES.values())
                    machine.launch(host * share, device * share)
            clock.stop()
            if step % log_every == 0:
                assert machine.waits == step // log_every - 1  # marking never waits
                limit.add(clock.compute(), clock.lag(), log_every)
    return machine.ends[-1], limit


@pytest.mark.parametrize(
    ("data", "host", "device"),
    [
        *[(0.1, 1, 3), (0.1, 2, 3), (0, 0.01, 3), (0.8, 2, 3.5)],
        *[(0.1, 3, 1), (0.5, 3, 1), (0.1, 3, 2.5), (2, 3, 1)],
        *[(3, 0.5, 1), (3, 2, 1), (15, 3, 10), (3, 0.5, 2.5)],
    ],
)
@pytest.mark.parametrize("depth", [20, 60, 1000])
@pytest.mark.parametrize("log_every", [5, 30])
def test_the_limit_is_what_saves_most_time(
    data: float, host: float, device: float, depth: int, log_every: int
) -> None:
    seconds, limit = train(data, host, device, depth, log_every)
    saved = {
        "data": seconds - train(0, host, device, depth, log_every)[0],
        "host": seconds - train(data, 0, device, depth, log_every)[0],
        "device": seconds - train(data, host, 0, depth, log_every)[0],
    }
    told = limit.line().removeprefix("steps are limited by the ").partition(":")[0]
    assert saved[told] >= max(saved.values()) - 0.01 * seconds


def test_the_host_s_time_beside_the_device_s() -> None:
    """The GPU is ready long before the host: its phases last as long as the host hands them out."""
    _, limit = train(data=0.5, host=9.4, device=0.94)
    assert limit.seconds["host"] == pytest.approx(9.4 * STEPS)
    assert limit.seconds["host_data"] == pytest.approx(0.5 * STEPS)
    phases = sum(limit.seconds[phase] for phase in ("data", *PHASES))
    assert phases == pytest.approx(9.9 * STEPS, rel=1e-3)
    _, limit = train(data=0.5, host=1, device=9.4, depth=60)
    assert limit.seconds["data"] < 0.1 * STEPS  # the GPU does not notice, but after a log point
    assert limit.seconds["host_data"] == pytest.approx(0.5 * STEPS)


def test_a_lag_is_counted_once() -> None:
    machine = Machine(depth=1000)
    with simulated(machine) as clock:
        assert clock.lag() is None
        for device in (5.0, 0.0, 0.0, 0.0):  # the GPU is 4.5, 2.5, 0.5 and 0 s behind
            clock.start("data")
            machine.now += 1
            clock.start("forward")
            machine.launch(0.5, device)
            clock.start("optimizer")
            machine.launch(0.5, 0.0)
            clock.stop()
        assert clock.lag() == 0.75
        assert clock.lag() is None


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        ({"data": 3.0, "forward": 0.5, "backward": 0.5}, "limited by the data: it takes 75 % of"),
        ({"data": 0.9, "forward": 0.5, "backward": 0.5}, ""),
        ({}, ""),
    ],
)
def test_on_a_cpu_only_data_is_told(seconds: dict[str, float], line: str) -> None:
    limit = StepLimit()
    limit.add(seconds, PhaseClock(torch.device("cpu")).lag(), 1)
    limit.add({}, None, 1)
    assert (line in limit.line()) if line else limit.line() == ""
