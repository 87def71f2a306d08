"""One run at a time in one directory."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import IO
from weakref import WeakSet

from qa.engine.atomic_files import naming
from qa.engine.errors import UserError

LOCK_FILE = ".lock"


class RunLock:
    """Holds `directory/.lock`, with host and pid in it, until `release` or the process's end.

    The operating system drops the lock when its process dies, however it dies, so a file that was
    left behind is no obstacle. Raises UserError, naming the holder, if another run has it.
    """

    def __init__(self, directory: Path) -> None:
        self._file: IO[str] | None = (directory / LOCK_FILE).open("a+", encoding="utf-8")
        if not try_lock(self._file):
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise UserError(
                f"{directory}: another run is writing there ({holder}); wait for it, stop it, or"
                " pass another --output-dir"
            )
        LOCKS.add(self)
        drop_locks_in_children()
        self._file.truncate(0)
        with naming(directory / LOCK_FILE):
            self._file.write(f"host {socket.gethostname()}, pid {os.getpid()}\n")
            self._file.flush()

    def release(self) -> None:
        """Give the directory free; the empty file stays, since removing it could race another."""
        if self._file is not None:
            self._file.truncate(0)
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


LOCKS: WeakSet[RunLock] = WeakSet()


@cache
def drop_locks_in_children() -> None:
    """See to it that forked processes hold no lock.

    A data worker that outlives a killed run would go on holding its lock. Once for all runs of this
    process: what is registered stays for good.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=drop_locks)


def drop_locks() -> None:
    """Close this process's copies of all locks; whoever forked it still holds them."""
    for lock in tuple(LOCKS):
        lock._close()


def try_lock(file: IO[str]) -> bool:
    """Take an exclusive lock on an open file, without waiting; false if somebody has it."""
    try:
        import fcntl
    except ImportError:  # Windows: no such lock, so runs are not kept apart there
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: better no lock than no run
        return True
    return True
