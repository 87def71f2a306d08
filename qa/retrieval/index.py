"""An index that is searched: a folder with the passages of a collection, and no server."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from threading import Lock

from qa.engine.errors import UserError, notice, require
from qa.retrieval.engines.engine import Found
from qa.retrieval.fusion import DEPTH, fuse
from qa.retrieval.leg import Leg, LegError, open_leg
from qa.retrieval.legs import kinds_of
from qa.retrieval.passage import Hit
from qa.retrieval.settings import read_contents
from qa.retrieval.sqlite_file import naming
from qa.retrieval.store import Store
from qa.retrieval.writer import IndexWriter

SPARE = 4  # more are looked for than are wanted: some may have the same text


class Index:
    """Finds passages; any number of processes and threads may do so while another one writes.

    Make it by `Index.open`, and documents get into it by `IndexWriter`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = Lock()
        self._legs: list[Leg] = []
        self._store = Store(directory)
        self._open_legs()

    @classmethod
    def open(cls, directory: Path | str) -> Index:
        """Open an index; what a killed writer has left undone is done first.

        Raises:
            UserError: There is none, another version of qa made it, or it needs a package.
        """
        path = Path(directory)
        read_contents(path)  # so that a wrong directory is told from a damaged index
        try:
            index = cls(path)
            if index._is_current():
                return index
            index.close()
            reason: Exception | None = None
        except LegError as error:
            reason = error
        try:
            with IndexWriter(path):
                pass
        except (UserError, OSError) as error:  # somebody writes there, or nobody may
            if reason is not None:
                raise UserError(
                    f"{directory}: {reason}, and it cannot be made anew ({error})"
                ) from error
            notice(f"{directory}: what was added last is not found yet ({error})")
        return cls(path)

    def __len__(self) -> int:
        """How many passages it holds."""
        with self._lock:
            self._follow()
            self._store.version()
            return self._store.count()[1]

    def search(self, question: str, k: int) -> list[Hit]:
        """Return at most `k` passages that fit a question best, best first.

        Of passages with the same text the best one is returned. Scores are sums of BM25 over the
        pairs of letters; of an index with more legs, fused scores of about the same spread.
        """
        require(k >= 1, f"k must be at least 1, not {k}")
        with self._lock, naming(self.directory):
            try:
                return self._search(question, k)
            except sqlite3.Error:
                # Of a file that was written while it was read as one that never changes.
                if not self._store.open_again():
                    raise
                return self._search(question, k)

    def _search(self, question: str, k: int) -> list[Hit]:
        """Return the passages, of what is there now."""
        self._follow()
        if self._store.version() != self._version:
            self._open_legs()
        n = k + SPARE if len(self._legs) == 1 else max(k + SPARE, DEPTH)
        while True:
            found = fuse([leg.search(question, n) for leg in self._legs], self._weights)
            hits = self._hits(found)
            if len(hits) >= k or len(found) < n:
                return hits[:k]
            n *= 2  # most of them have the same text

    def _hits(self, found: Found) -> list[Hit]:
        """Return the passages of these keys, one of each text."""
        passages = self._store.passages([key for key, _ in found])
        hits: dict[str, Hit] = {}
        for key, score in found:
            # A passage that was removed just now may still be found.
            if key in passages:
                hits.setdefault(passages[key].text, Hit(passages[key], score))
        return list(hits.values())

    def _open_legs(self) -> None:
        """Open the legs as index.json says now; if that fails, the open ones go on.

        A writer may take away the folder that index.json has just named: the next search tries
        again.
        """
        version = self._store.version()
        contents = read_contents(self.directory)
        kinds = kinds_of(contents.settings)
        table = self._store.id()
        try:
            legs = [
                open_leg(self.directory, kind, contents.legs.get(kind.name, {}), table)
                for kind in kinds
            ]
        except LegError:
            if not self._legs:
                raise
            return
        for leg in self._legs:
            leg.close()
        self._version, self._legs = version, legs
        self._weights = [kind.weight for kind in kinds]

    def _follow(self) -> None:
        """Take the index that was made in the place of this one, once it can be searched."""
        if not self._store.is_gone():
            return
        try:
            new = Index(self.directory)
        except (UserError, OSError, sqlite3.Error):  # it is not whole yet
            return
        self.close()
        self._store, self._version = new._store, new._version
        self._legs, self._weights = new._legs, new._weights

    def _is_current(self) -> bool:
        """Return whether all legs have all passages."""
        target = self._store.state()
        return all(leg.state() == target for leg in self._legs)

    def close(self) -> None:
        """Let go of its files."""
        for leg in self._legs:
            leg.close()
        self._store.close()
