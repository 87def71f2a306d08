"""A program that trains, started again and again: run to its end, or killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qa.engine.errors import RunStopped, UserError, require
from qa.engine.run_differences import checkpoints_among, files_in, step_of

LOOK_EVERY = 0.01  # seconds
LAST_LINES = 5  # of a program that failed


@dataclass(frozen=True)
class Program:
    """A program that trains, and goes on when it is started again.

    `command` returns the command line that starts it in a directory; a start that takes longer than
    `timeout` seconds is given up; `signal_name` is that of the signal that kills it.
    """

    command: Callable[[Path], list[str]]
    timeout: float = float("inf")
    signal_name: str = "SIGKILL"

    def run(self, directory: Path, kill_after: float | None = None) -> float | None:
        """Start it, and return the seconds that it wrote, or None if it was killed.

        They count from the first change in the directory to the last one, so that the time to start
        and to end does not. What it prints goes to a file beside the directory.

        Args:
            directory: Where it writes; made if it is missing.
            kill_after: When to kill it, in seconds after the first change; None: never.

        Raises:
            UserError: It failed by itself, or takes too long.
            RunStopped: It fails or starts anew where it should go on; exit code 1.
        """
        directory.mkdir(parents=True, exist_ok=True)
        before, log = times_of_change(directory), directory.with_name(f"{directory.name}.log")
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                self.command(directory),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a process group: its data workers die with it
            )
        started, seen, is_killed = time.monotonic(), before, False
        changes: list[float] = []
        try:
            while process.poll() is None:
                time.sleep(LOOK_EVERY)
                now, after = time.monotonic(), times_of_change(directory)
                require_to_go_on(before, after)
                if after != seen:
                    changes.append(now)
                    seen = after
                if kill_after is not None and changes and now >= changes[0] + kill_after:
                    os.killpg(process.pid, getattr(signal, self.signal_name))
                    is_killed, kill_after = True, None
                require(now < started + self.timeout, f"no end after {self.timeout:g} seconds")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        require_to_go_on(before, times_of_change(directory))
        if process.returncode == 0:
            return changes[-1] - changes[0] if changes else 0.0
        if is_killed:
            return None
        lines = "\n".join(
            log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
        )
        how = f"with exit code {process.returncode}; its last lines:\n{lines}"
        if before:
            raise RunStopped(f"DIFFERENT: it fails when it is run again, {how}", exit_code=1)
        raise UserError(f"it fails by itself, without a kill, {how}")


def times_of_change(directory: Path) -> dict[Path, int]:
    """Return when each file in a directory was last written, in ns."""
    found = {}
    for path in files_in(directory):
        with suppress(FileNotFoundError):  # it was removed meanwhile
            found[path] = path.stat().st_mtime_ns
    return found


def require_to_go_on(before: dict[Path, int], after: dict[Path, int]) -> None:
    """Raise RunStopped if a checkpoint was written though one of a later step was there before."""
    for path in checkpoints_among(each for each in after if after[each] != before.get(each)):
        there = [each for each in checkpoints_among(before) if each.parent == path.parent]
        if later := [each.name for each in there if step_of(each) > step_of(path)]:
            raise RunStopped(
                f"DIFFERENT: it starts anew when it is run again: {path.name} was written though"
                f" {later[-1]} was there; load the newest checkpoint",
                exit_code=1,
            )
