"""What a leg of the search is: it finds keys of passages, and is made of the table of passages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from qa.engine.errors import UserError, cut, require
from qa.retrieval.engines.engine import Found, State
from qa.retrieval.store import NO_ID, Row


class Leg(Protocol):
    """An open leg of one index."""

    def state(self) -> State:
        """How much of the table of passages is in it."""
        ...

    def apply(self, removed: Iterable[Row], added: Iterable[Row], state: State) -> None:
        """Take passages out and in, all of it or nothing."""
        ...

    def search(self, question: str, n: int) -> Found:
        """Return the keys and scores of the `n` best passages."""
        ...

    def close(self) -> None:
        """Let go of its files."""
        ...


class Kind(Protocol):
    """A kind of leg, before it is opened."""

    @property
    def name(self) -> str:
        """Of its folder."""
        ...

    @property
    def weight(self) -> float:
        """What its standardised scores are multiplied by when legs are fused."""
        ...

    def made_by(self) -> str:
        """What would make it now: versions of whatever decides about its content."""
        ...

    def reads(self, made_by: str) -> bool:
        """Return whether one that was made so can be used here."""
        ...

    def open(self, folder: Path, made_by: str, write: bool) -> Leg:
        """Open it; a writer makes it if the folder is empty."""
        ...


class LegError(UserError):
    """A leg that cannot be used here, as it is."""


def open_leg(
    directory: Path, kind: Kind, entry: Mapping[str, str], table: str, write: bool = False
) -> Leg:
    """Open a leg; LegError if it cannot be read, or is of another table of passages.

    Args:
        directory: Of the index.
        kind: Of the leg.
        entry: What index.json says of it: its folder, what made it, and of which table.
        table: The id of the table of passages.
        write: Whether passages are added and removed.
    """
    made_by = entry.get("made_by", "")
    if not made_by:
        raise LegError("its search index is not made yet")
    if not kind.reads(made_by):
        raise LegError(f"its search index was made by {made_by}, which is not here")
    if entry.get("table", NO_ID) != table:
        raise LegError("its search index was made of another table of passages")
    leg = None
    try:
        leg = kind.open(directory / entry["folder"], made_by, write)
        require(all(isinstance(number, int) for number in leg.state()), "its state is no numbers")
        return leg
    # sqlite3.Error: not a database; ValueError: tantivy's, and UserError for a damaged JSON file;
    # LookupError and TypeError: JSON or rows of another form
    except (sqlite3.Error, OSError, ValueError, LookupError, TypeError) as error:
        if leg is not None:
            leg.close()
        raise LegError(f"its search index cannot be read ({cut(str(error))})") from error
