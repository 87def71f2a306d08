"""Adding to an index and removing from it: one process at a time, and whole after any kill."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType

from qa.engine.atomic_files import remove
from qa.engine.errors import UserError, notice, require
from qa.engine.lock import RunLock
from qa.retrieval.documents import Document
from qa.retrieval.leg import Kind, Leg, LegError, open_leg
from qa.retrieval.legs import kinds_of
from qa.retrieval.settings import FILE, Contents, IndexSettings, read_contents
from qa.retrieval.store import Counts, Store

BATCH = 200  # documents of one transaction


class IndexWriter:
    """Adds documents to an index, which it makes if it is not there.

    What `add` and `remove` have done stays, however the process ends. The search finds it once the
    writer is closed; after a kill, once the index is opened again.

    Args:
        directory: Of the index.
        settings: Of a new index; those of an index that is there must be the same, and are taken
            from it if this is None.

    Raises:
        UserError: Another process writes there, it is no index, or one with other settings.
    """

    def __init__(self, directory: Path | str, settings: IndexSettings | None = None) -> None:
        self.directory = Path(directory)
        if not (self.directory / FILE).exists():
            there = os.listdir(self.directory) if self.directory.is_dir() else []
            require(
                not self.directory.is_file() and set(there) <= {".lock", f".{FILE}.tmp"},
                f"{directory}: is there and no index; pass another --output",
            )
            self.directory.mkdir(parents=True, exist_ok=True)
        self.lock = RunLock(self.directory)
        try:
            if not (self.directory / FILE).exists():
                Contents(settings or IndexSettings()).write(self.directory)
            self.contents = read_contents(self.directory)
            require(
                settings in (None, self.contents.settings),
                f"{directory}: was made with other settings ({self.contents.settings}); add to it"
                " without these flags, or make another index",
            )
            self.store = Store(self.directory, write=True)
            self._tell_older_copy()
        except BaseException:
            self.lock.release()
            raise

    def add(
        self,
        documents: Iterable[Document],
        confirmed: Callable[[Counts], object] | None = None,
    ) -> Counts:
        """Add documents, and return what became of them.

        A document takes the place of one with the same id, and nothing is done if it is the same.

        Args:
            documents: Taken a batch at a time.
            confirmed: Called with the counts so far whenever a batch is on the disk.
        """
        counts = Counts()
        rest = iter(documents)
        while batch := list(islice(rest, BATCH)):
            self.store.add(batch, self.contents.settings.passage_characters, counts)
            if confirmed is not None:
                confirmed(counts)
        return counts

    def remove(self, pattern: str) -> int:
        """Remove the document of this id, or else those whose ids match a pattern with * and ?."""
        return self.store.remove(pattern)

    def renew(self, everything: bool = False) -> None:
        """Bring the legs of the search to what the table of passages holds.

        Args:
            everything: Make them anew, also those that fit.
        """
        for kind in kinds_of(self.contents.settings):
            now = self.contents.legs.get(kind.name)
            if now is None or everything:
                self._make(kind)
                continue
            try:
                with closing(self._open(kind, now, write=True)) as leg:
                    self._catch_up(leg)
            except LegError as error:
                notice(f"{self.directory}: {error}; it is made anew by {kind.made_by()}")
                self._make(kind)
        self.store.announce()

    def _tell_older_copy(self) -> None:
        """Give the table another id if a leg has more than it, so that the legs are made anew.

        Once something is added, an older copy that was put there cannot be told any more.
        """
        for kind in kinds_of(self.contents.settings):
            now = self.contents.legs.get(kind.name, {})
            with suppress(UserError), closing(self._open(kind, now)) as leg:  # `renew` tells why
                key, removal = self.store.state()
                if leg.state().key > key or leg.state().removal > removal:
                    self.store.identify()

    def _open(self, kind: Kind, entry: dict[str, str], write: bool = False) -> Leg:
        return open_leg(self.directory, kind, entry, self.store.id(), write)

    def _make(self, kind: Kind) -> None:
        """Make a leg anew, in a folder of its own; the old one is used until it is whole."""
        old = self.contents.legs.get(kind.name, {}).get("folder", f"{kind.name}.0")
        new = {
            "folder": f"{kind.name}.{int(old.rpartition('.')[2]) + 1}",
            "made_by": kind.made_by(),
            "table": self.store.id(),
        }
        remove(self.directory / new["folder"])  # of a writer that was killed
        (self.directory / new["folder"]).mkdir()
        with closing(self._open(kind, new, write=True)) as leg:
            self._catch_up(leg)
        self.contents.legs[kind.name] = new
        self.contents.write(self.directory)
        remove(self.directory / old)

    def _catch_up(self, leg: Leg) -> None:
        """Give a leg what it lacks, and take out of it what was removed."""
        state, target = leg.state(), self.store.state()
        if state != target:
            leg.apply(self.store.removed_since(state), self.store.added_since(state), target)

    def close(self) -> None:
        """Bring the search to the newest state and let others write."""
        try:
            self.renew()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let others write; what was added is found once the index is opened again."""
        self.store.close()
        self.lock.release()

    def __enter__(self) -> IndexWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()
