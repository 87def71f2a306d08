"""A lock that lets only one run at a time write into a directory."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from qa.engine.atomic_files import naming
from qa.engine.errors import UserError

LOCK_FILE = ".lock"


class RunLock:
    """Holds `directory/.lock`, with host and pid in it, until `release` or the process's end.

    The directory is made if it is missing, and the lock is held whether or not its object is kept.
    The operating system drops the lock when its process dies, however it dies, so a file that was
    left behind is no obstacle.

    Raises:
        UserError: Another run holds the lock; the message names its host and pid.
    """

    def __init__(self, directory: Path | str) -> None:
        path = Path(directory, LOCK_FILE)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path.resolve()
        self._file: IO[str] | None = path.open("a+", encoding="utf-8")
        if not try_lock(self._file):
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise UserError(
                f"{directory}: this process is writing there already; let it end that first"
                if any(lock._path == self._path for lock in LOCKS)
                else f"{directory}: another run is writing there ({holder}); wait for it, stop it,"
                " or take another directory"
            )
        LOCKS.add(self)
        drop_locks_in_children()
        try:
            self._file.truncate(0)
            with naming(path):
                self._file.write(f"host {socket.gethostname()}, pid {os.getpid()}\n")
                self._file.flush()
        except BaseException:
            with suppress(OSError):  # of the same disk, when what is left is written at last
                self._close()
            raise

    def release(self) -> None:
        """Let other runs have the directory.

        The empty file stays: another run may just have opened it, and would then hold the lock of a
        file that is gone.
        """
        if self._file is not None:
            self._file.truncate(0)
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            try:
                self._file.close()
            finally:
                self._file = None
                LOCKS.discard(self)


LOCKS: set[RunLock] = set()  # that this process holds


@cache
def drop_locks_in_children() -> None:
    """Make processes that are forked from now on close their copies of all locks.

    Otherwise a data worker that outlives a killed run would go on holding the run's lock. This is
    done once for all runs of a process, since nothing can be taken out of the register again.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=drop_locks)


def drop_locks() -> None:
    """Close this process's copies of all locks; its parent process still holds the locks."""
    for lock in tuple(LOCKS):
        lock._close()


def try_lock(file: IO[Any]) -> bool:
    """Take an exclusive lock on an open file without waiting; return whether it was free."""
    try:
        import fcntl
    except ImportError:  # Windows: no such lock, so runs are not kept apart there
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: running without a lock beats not running
        return True
    return True
