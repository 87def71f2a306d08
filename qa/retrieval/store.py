"""The table of passages: the truth, of which the search indexes are made."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from qa.engine.errors import UserError
from qa.retrieval.cut import cut_passages
from qa.retrieval.documents import Document
from qa.retrieval.engines.engine import State
from qa.retrieval.passage import Passage
from qa.retrieval.sqlite_file import connect, file_at, stamp

FILE = "passages.db"
# Keys and numbers are never given twice, so that an index knows by the largest what it lacks.
SCHEMA = """
    CREATE TABLE documents (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        digest BLOB NOT NULL
    );
    CREATE TABLE passages (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        document INTEGER NOT NULL,
        start INTEGER NOT NULL,
        text TEXT NOT NULL
    );
    CREATE INDEX passages_of ON passages(document);
    CREATE TABLE removed (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        key INTEGER NOT NULL,
        title TEXT NOT NULL,
        text TEXT NOT NULL
    );
"""
NO_ID = "0"  # of a table that was made before they had one, and so of the legs made of it
AT_ONCE = 500  # values of one statement: SQLite before 3.32 takes 999


class Row(NamedTuple):
    """A passage as the search indexes take it."""

    key: int
    title: str
    text: str


@dataclass
class Counts:
    """What became of documents."""

    new: int = 0
    replaced: int = 0
    unchanged: int = 0
    empty: int = 0


class Store:
    """Documents, their passages, and which passages were removed since the indexes were made."""

    def __init__(self, folder: Path, write: bool = False) -> None:
        self._path = folder / FILE
        self._openings = 1
        try:
            self._file = file_at(self._path)
            self._stamp = None if write else stamp(self._path)
            self.database = connect(self._path, write)
            is_empty = not self.database.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            raise UserError(
                f"{folder / FILE}: the table of passages cannot be read ({error}); make the index"
                " anew from the documents"
            ) from error
        if write and is_empty:
            self.database.executescript(f"BEGIN; {SCHEMA} {_new_id()} COMMIT;")

    def id(self) -> str:
        """What tells the table from another one, which may be put in its place."""
        return str(self.database.execute("PRAGMA application_id").fetchone()[0])

    def identify(self) -> None:
        """Give the table another id."""
        self.database.execute(_new_id())

    def add(self, documents: Iterable[Document], size: int, counts: Counts) -> None:
        """Add or replace documents in one transaction, cut into passages of `size` characters."""
        with self.database:
            self.database.execute("BEGIN IMMEDIATE")
            for document in documents:
                self._add(document, size, counts)

    def _add(self, document: Document, size: int, counts: Counts) -> None:
        old = self.database.execute(
            "SELECT number, digest FROM documents WHERE id = ?", (document.id,)
        ).fetchone()
        if not document.text.strip():
            counts.empty += 1
            if old is not None:
                self._remove(old[0])
            return
        digest = document.digest(size)
        if old is not None and old[1] == digest:
            counts.unchanged += 1
            return
        if old is not None:
            self._remove(old[0])
        number = self.database.execute(
            "INSERT INTO documents(id, title, digest) VALUES (?, ?, ?)",
            (document.id, document.title, digest),
        ).lastrowid
        passages = (
            [(0, document.text)] if document.is_passage else cut_passages(document.text, size)
        )
        self.database.executemany(
            "INSERT INTO passages(document, start, text) VALUES (?, ?, ?)",
            ((number, start, text) for start, text in passages),
        )
        counts.new += old is None
        counts.replaced += old is not None

    def remove(self, pattern: str) -> int:
        """Remove the document of this id, or else those whose ids match it; return how many.

        `*` stands for any characters and `?` for one; [ and ] are common in Korean file names.
        """
        with self.database:
            self.database.execute("BEGIN IMMEDIATE")
            glob = pattern.replace("[", "[[]")
            for test, value in (("id = ?", pattern), ("id GLOB ?", glob)):
                rows = self.database.execute(
                    f"SELECT number FROM documents WHERE {test}", (value,)
                ).fetchall()
                if rows:
                    break
            for (number,) in rows:
                self._remove(number)
            return len(rows)

    def _remove(self, number: int) -> None:
        self.database.execute(
            "INSERT INTO removed(key, title, text) SELECT key, title, text FROM passages"
            " JOIN documents ON number = document WHERE number = ?",
            (number,),
        )
        self.database.execute("DELETE FROM passages WHERE document = ?", (number,))
        self.database.execute("DELETE FROM documents WHERE number = ?", (number,))

    def count(self) -> tuple[int, int]:
        """Return how many documents and how many passages there are."""
        statement = "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM passages)"
        documents, passages = self.database.execute(statement).fetchone()
        return documents, passages

    def state(self) -> State:
        """What an index has that lacks nothing."""
        given = dict(self.database.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        return State(given.get("passages", 0), given.get("removed", 0))

    def added_since(self, state: State) -> Iterator[Row]:
        """Yield the passages that an index in this state lacks."""
        yield from map(
            Row._make,
            self.database.execute(
                "SELECT key, title, text FROM passages JOIN documents ON number = document"
                " WHERE key > ? ORDER BY key",
                (state.key,),
            ),
        )

    def removed_since(self, state: State) -> Iterator[Row]:
        """Yield the passages that an index in this state has and should not have."""
        yield from map(
            Row._make,
            self.database.execute(
                "SELECT key, title, text FROM removed WHERE number > ? AND key <= ?",
                (state.removal, state.key),
            ),
        )

    def announce(self) -> None:
        """Say that all indexes are in the newest state.

        What they have taken out is forgotten, and open readers see by this write that they have to
        look again.
        """
        with self.database:
            self.database.execute("BEGIN IMMEDIATE")
            self.database.execute("DELETE FROM removed")
            number = self.database.execute("PRAGMA user_version").fetchone()[0]
            self.database.execute(f"PRAGMA user_version = {(number + 1) % 2**31}")

    def passages(self, keys: Sequence[int]) -> dict[int, Passage]:
        """Return the passages of these keys; without those that are no longer there."""
        found = {}
        for start in range(0, len(keys), AT_ONCE):
            part = keys[start : start + AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self.database.execute(
                "SELECT key, id, title, start, text FROM passages"
                f" JOIN documents ON number = document WHERE key IN ({marks})",
                part,
            )
            found.update({row[0]: Passage(*row[1:]) for row in rows})
        return found

    def version(self) -> tuple[int, int]:
        """Numbers that are others once somebody else has written."""
        if self._stamp is not None and not self.is_gone() and self._stamp != stamp(self._path):
            self.open_again()
        version = int(self.database.execute("PRAGMA data_version").fetchone()[0])
        return self._openings, version

    def is_gone(self) -> bool:
        """Return whether the file was deleted, or another one put in its place."""
        return self._file != file_at(self._path)

    def open_again(self) -> bool:
        """Open the file as it is now, where SQLite would not see it; return whether it would not.

        Somebody who may not write there reads it as one that never changes.
        """
        if self._stamp is None:
            return False
        self.database.close()
        self._file, self._stamp = file_at(self._path), stamp(self._path)
        self.database = connect(self._path, False)
        self._openings += 1
        return True

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()


def _new_id() -> str:
    """Return the statement that gives a table an id, in the header of its file."""
    return f"PRAGMA application_id = {1 + secrets.randbelow(2**31 - 1)};"
