"""Stopping on a signal: finish the step first, at once if asked twice."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qa.engine.distributed import World

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP")
    if hasattr(signal, name)
)
"""Termination, Ctrl-C, the warning that Slurm sends before a job's time is over, a lost terminal.
"""


def ignore_stop_signals(worker: int) -> None:
    """For data workers: a signal to the whole process group must not end them before the step."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class StopSignals:
    """While entered, the first stop signal is only noted in `received`; a second one acts at once.

    The loop calls `agree` after a step, saves, and exits with 128 + signal number, as shells expect
    of a process that a signal ended. A signal that is ignored already, as nohup has it for SIGHUP,
    stays so. To be entered in the main thread.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None  # by this process
        self.agreed: signal.Signals | None = None  # by all processes; see `agree`
        self._previous: dict[signal.Signals, object] = {}

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
            signal.signal(number, handler)  # type: ignore[arg-type]

    def agree(self, world: World) -> bool:
        """Whether any process of the world received a signal; `agreed` is then the same in all.

        To be called by all processes alike, so that they stop after the same step.
        """
        counts = world.sum_ints([int(self.received == number) for number in STOP_SIGNALS])
        found = [n for n, count in zip(STOP_SIGNALS, counts, strict=True) if count]
        self.agreed = found[0] if found else None
        return self.agreed is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        for each in self._previous:
            signal.signal(each, signal.SIG_DFL)  # the next one ends the process
