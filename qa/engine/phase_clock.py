"""Where the time of a step goes: data, forward, backward, optimizer."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import torch

MOST_MARKS = 5000  # about a thousand steps; then those that the device has passed are added up


class PhaseClock:
    """Adds up the seconds of each phase; the time between `stop` and the next `start` is nobody's.

    On CUDA the phases are marked in the stream and read when the device has passed the marks, so
    that marking one is no host sync. device: None makes a clock that does nothing.
    """

    def __init__(self, device: torch.device | None) -> None:
        self.device = device
        self._marks: deque[tuple[str, Any]] = deque()  # (phase that begins, time); "" after a stop
        self._seconds: dict[str, float] = {}

    def start(self, phase: str) -> None:
        """Begin a phase, which ends the one before."""
        if self.device is None:
            return
        mark: Any
        if self.device.type == "cuda":
            mark = torch.cuda.Event(enable_timing=True)
            mark.record(torch.cuda.current_stream(self.device))
        else:
            mark = time.perf_counter()
        self._marks.append((phase, mark))
        if len(self._marks) >= MOST_MARKS:  # nobody asks for them
            self._add_up()

    def stop(self) -> None:
        """End the phase that is going on."""
        self.start("")

    def compute(self) -> dict[str, float]:
        """Seconds of each phase since the last call. On CUDA this is a host sync."""
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


def is_passed(mark: Any) -> bool:
    """Whether the device has come to a mark; no host sync."""
    return isinstance(mark, float) or bool(mark.query())


def wait_for(mark: Any) -> None:
    """Wait until the device has come to a mark."""
    if not isinstance(mark, float):
        mark.synchronize()


def elapsed(begin: Any, end: Any) -> float:
    """Seconds between two marks."""
    if isinstance(begin, float):
        return float(end - begin)
    return float(begin.elapsed_time(end)) / 1000
