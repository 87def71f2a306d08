"""Stopping on a signal: finish the step first, at once if asked twice."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)
)
"""Termination, Ctrl-C, and the warning that Slurm sends before a job's time is over."""


def ignore_stop_signals(worker: int) -> None:
    """For data workers: a signal to the whole process group must not end them before the step."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class StopSignals:
    """While entered, the first stop signal is only noted in `received`; a second one acts at once.

    The loop looks at `received` after a step, saves, and exits with 128 + signal number, as shells
    expect of a process that a signal ended. To be entered in the main thread.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopSignals:
        for number in STOP_SIGNALS:
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @staticmethod
    def name(number: int) -> str:
        """The name of a signal, e.g. SIGTERM."""
        return signal.Signals(number).name

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        for each in STOP_SIGNALS:
            signal.signal(each, signal.SIG_DFL)  # the next one ends the process
