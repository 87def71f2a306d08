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
    it, so that marking is no host sync. The phases are then the device's, with its waiting for the
    host. "host" and "host_data" are the host's: to hand out the work of a step, and to get its
    data. A clock of the device None does nothing.
    """

    def __init__(self, device: torch.device | None) -> None:
        self.device = device
        self._marks: deque[tuple[str, Mark]] = deque()  # (phase that begins, time); "": a stop
        self._seconds: dict[str, float] = {}
        self._phase, self._since = "", 0.0  # the host's, on CUDA
        self._num_steps = self._num_behind = 0

    def start(self, phase: str) -> None:
        """Begin a phase, and end the phase before it."""
        if self.device is None:
            return
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self.device))
            self._note_host(phase)
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

    def lag(self) -> float | None:
        """Return the share of the steps since the last call that a GPU lagged behind the host.

        It did if it had not yet begun the last phase when the host had handed that out: the host
        kept it busy. None if there was no step, or no GPU.
        """
        lag = self._num_behind / self._num_steps if self._num_steps else None
        self._num_steps = self._num_behind = 0
        return lag

    def _note_host(self, phase: str) -> None:
        """Add up the host's time, and look where the device is; no host sync."""
        now = time.perf_counter()
        if self._phase:
            self._add("host_data" if self._phase == "data" else "host", now - self._since)
            if not phase:
                self._num_steps += 1
                self._num_behind += not is_passed(self._marks[-1][1])
        self._phase, self._since = phase, now

    def _add_up(self) -> None:
        """Add up the phases whose end the device has passed, without waiting for the others."""
        while len(self._marks) > 1 and is_passed(self._marks[1][1]):
            phase, begin = self._marks.popleft()
            if phase:
                self._add(phase, elapsed(begin, self._marks[0][1]))

    def _add(self, phase: str, seconds: float) -> None:
        self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds


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
