"""Opening a file of SQLite: one writer and many readers at a time, whole after any kill."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

SECONDS_TO_WAIT = 30.0


def connect(path: Path, write: bool) -> sqlite3.Connection:
    """Open a file, which a writer makes if it is not there.

    Transactions are begun by hand. A reader sees what was there when its statement began.
    """
    mode = "rwc" if write else "rw"
    if not write and not os.access(path.parent, os.W_OK):
        mode = "ro&immutable=1"  # a reader, too, makes files beside it, unless nobody can write
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
