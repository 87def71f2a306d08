"""Opening a file of SQLite: one writer and many readers at a time, whole after any kill."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qa.engine.errors import UserError

SECONDS_TO_WAIT = 30.0


@contextmanager
def naming(directory: Path | str) -> Iterator[None]:
    """What SQLite fails at in here, as on a full disk, is a UserError that names the index."""
    try:
        yield
    except sqlite3.Error as error:
        raise UserError(f"{directory}: the index cannot be used ({error})") from error


def file_at(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one of the same name; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what differs once a file was written that is opened as one that never changes.

    None of a file that is opened otherwise: SQLite itself sees then what others write.
    """
    if os.access(path.parent, os.W_OK) or path.with_name(f"{path.name}-wal").exists():
        return None
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def connect(path: Path, write: bool) -> sqlite3.Connection:
    """Open a file, which a writer makes if it is not there.

    Transactions are begun by hand. A reader sees what was there when its statement began.
    """
    mode = "rwc" if write else "rw"
    if not write and not os.access(path.parent, os.W_OK):
        # A reader, too, makes files beside it, unless nothing changes or a writer has made them.
        mode = "ro" if stamp(path) is None else "ro&immutable=1"
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=SECONDS_TO_WAIT,
        isolation_level=None,
        check_same_thread=False,  # a server opens it in one thread and searches in another
    )
    if write:
        # With it readers go on while somebody writes.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # what is confirmed outlives a power cut
    return database
