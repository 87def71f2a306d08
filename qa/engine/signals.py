"""Stopping on a signal: after the step that is being made, or at once on a second signal."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from qa.engine.distributed import World

Handler: TypeAlias = Callable[[int, FrameType | None], Any] | int | None

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP")
    if hasattr(signal, name)
)
"""Termination, Ctrl-C, Slurm's warning before a job's time is over, a lost terminal."""


def ignore_stop_signals(worker: int) -> None:
    """Ignore the stop signals in a data worker.

    Ctrl-C and Slurm send a signal to the whole process group, and the step that the main process
    still makes needs its workers.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class StopSignals:
    """A context in which the first stop signal is only noted, in `received`.

    A second one acts at once. The loop calls `agree` after each step; if a signal came, it saves
    the run and exits with 128 + the signal's number, as shells expect of a process that a signal
    ended. A signal that is ignored already, as SIGHUP is under nohup, stays ignored. Only the main
    thread may enter this context: Python sets signal handlers in no other.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None  # by this process
        self.agreed: signal.Signals | None = None  # by all processes; see `agree`
        self._previous: dict[signal.Signals, Handler] = {}

    def __enter__(self) -> StopSignals:
        for number in STOP_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def agree(self, world: World) -> bool:
        """Return whether any process received a signal; `agreed` is then the same in all.

        All processes must call this after the same step, and so stop after the same step.
        """
        counts = world.sum_ints([int(self.received == number) for number in STOP_SIGNALS])
        found = [n for n, count in zip(STOP_SIGNALS, counts, strict=True) if count]
        self.agreed = found[0] if found else None
        return self.agreed is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        for each in self._previous:
            signal.signal(each, signal.SIG_DFL)  # the next one ends the process
