"""Where the time of a step goes: data, forward, backward, optimizer."""

from __future__ import annotations

import time
from typing import Any

import torch

MOST_MARKS = 5000  # about a thousand steps; then the marks are added up


class PhaseClock:
    """Adds up the seconds of each phase; the time between `stop` and the next `start` is nobody's.

    On CUDA the phases are marked in the stream and read when `compute` is called, so that marking
    one is no host sync. device: None makes a clock that does nothing.
    """

    def __init__(self, device: torch.device | None) -> None:
        self.device = device
        self._marks: list[tuple[str, Any]] = []  # (phase that begins, time); "" after a stop
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
        self._add_up()
        seconds, self._seconds = self._seconds, {}
        return seconds

    def _add_up(self) -> None:
        if self._marks and self.device is not None and self.device.type == "cuda":
            self._marks[-1][1].synchronize()
        for (phase, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            if phase:
                self._seconds[phase] = self._seconds.get(phase, 0.0) + elapsed(begin, end)
        self._marks = self._marks[-1:]


SILENT = PhaseClock(None)


def elapsed(begin: Any, end: Any) -> float:
    """Seconds between two marks."""
    if isinstance(begin, float):
        return float(end - begin)
    return float(begin.elapsed_time(end)) / 1000
