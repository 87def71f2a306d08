"""How long each phase of a step takes: data, forward, backward, optimizer."""

from __future__ import annotations

import time
from collections import deque
from typing import TypeAlias, cast

import torch

MOST_MARKS = 5000  # about a thousand steps; then those that the device has passed are added up

Mark: TypeAlias = "float | torch.cuda.Event"
"""A point in time: seconds of `time.perf_counter`, or an event in a CUDA stream."""


class PhaseClock:
    """Adds up the seconds of each phase; time between `stop` and the next `start` is in no phase.

    On CUDA an event in the stream marks the start of a phase. It is read when the device has passed
    it, so that marking is no host sync. A clock of the device None does nothing.
    """

    def __init__(self, device: torch.device | None) -> None:
        self.device = device
        self._marks: deque[tuple[str, Mark]] = deque()  # (phase that begins, time); "": a stop
        self._seconds: dict[str, float] = {}

    def start(self, phase: str) -> None:
        """Begin a phase, and end the phase before it."""
        if self.device is None:
            return
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self.device))
            self._marks.append((phase, event))
        else:
            self._marks.append((phase, time.perf_counter()))
        if len(self._marks) >= MOST_MARKS:  # `compute` is called rarely or never
            self._add_up()

    def stop(self) -> None:
        """End the phase that is going on."""
        self.start("")

    def compute(self) -> dict[str, float]:
        """Return the seconds of each phase since the last call. On CUDA this is a host sync."""
        if self._marks:
            wait_for(self._marks[-1][1])
        self._add_up()
        seconds, self._seconds = self._seconds, {}
        return seconds

    def _add_up(self) -> None:
        """Add up the phases whose end the device has passed, without waiting for the others."""
        while len(self._marks) > 1 and is_passed(self._marks[1][1]):
            phase, begin = self._marks.popleft()
            if phase:
                spent = elapsed(begin, self._marks[0][1])
                self._seconds[phase] = self._seconds.get(phase, 0.0) + spent


NO_CLOCK = PhaseClock(None)


def is_passed(mark: Mark) -> bool:
    """Return whether the device has passed a mark; no host sync."""
    return isinstance(mark, float) or bool(mark.query())


def wait_for(mark: Mark) -> None:
    """Wait until the device has passed a mark."""
    if not isinstance(mark, float):
        mark.synchronize()


def elapsed(begin: Mark, end: Mark) -> float:
    """Return the seconds between two marks of the same kind."""
    if isinstance(begin, float):
        return cast(float, end) - begin
    return float(begin.elapsed_time(cast(torch.cuda.Event, end))) / 1000
