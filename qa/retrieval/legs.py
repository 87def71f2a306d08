"""The legs of a search: what finds the keys of passages, each made of the table of passages."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from qa.engine.errors import UserError, cut
from qa.retrieval import bigrams
from qa.retrieval.engines.engine import Engine, Found, State, Tokens
from qa.retrieval.settings import IndexSettings
from qa.retrieval.store import Row

ENGINES = {"tantivy": "TantivyEngine", "fts5": "Fts5Engine"}  # the best one first


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


def open_leg(directory: Path, kind: Kind, entry: Mapping[str, str], write: bool = False) -> Leg:
    """Open a leg; LegError if it cannot be read.

    Args:
        directory: Of the index.
        kind: Of the leg.
        entry: What index.json says of it: its folder, and what made it.
        write: Whether passages are added and removed.
    """
    made_by = entry.get("made_by", "")
    if not made_by:
        raise LegError("its search index is not made yet")
    if not kind.reads(made_by):
        raise LegError(f"its search index was made by {made_by}, which is not here")
    try:
        return kind.open(directory / entry["folder"], made_by, write)
    # sqlite3.Error: not a database; ValueError: tantivy's, and UserError for a damaged JSON file
    except (sqlite3.Error, OSError, ValueError) as error:
        raise LegError(f"its search index cannot be read ({cut(str(error))})") from error


def kinds_of(settings: IndexSettings) -> list[Kind]:
    """Return the kinds of legs that an index with these settings has, the main one first."""
    return [Words("bigrams", bigrams.VERSION, bigrams.bigrams)]


@dataclass(frozen=True)
class Words:
    """BM25 over tokens of titles and texts."""

    name: str
    version: str
    tokens: Callable[[str], list[str]]

    def made_by(self) -> str:
        """The version of the tokens, and the best engine that is installed."""
        name = next(name for name in ENGINES if _engine(name) is not None)
        return f"{self.version}, {_engine(name).FORMAT}"

    def reads(self, made_by: str) -> bool:
        """Return whether the tokens are the same, and the engine is installed."""
        version, _, form = made_by.partition(", ")
        module = _engine(form.partition(" ")[0])
        return version == self.version and form == getattr(module, "FORMAT", None)

    def open(self, folder: Path, made_by: str, write: bool) -> Leg:
        """Open its engine."""
        name = made_by.partition(", ")[2].partition(" ")[0]
        return WordLeg(getattr(_engine(name), ENGINES[name])(folder, write), self.tokens)


@dataclass
class WordLeg:
    """An open leg of words."""

    engine: Engine
    tokens: Callable[[str], list[str]]

    def state(self) -> State:
        """How much of the table of passages is in it."""
        return self.engine.state()

    def apply(self, removed: Iterable[Row], added: Iterable[Row], state: State) -> None:
        """Take passages out and in, all of it or nothing."""
        self.engine.apply(self._tokens(removed), self._tokens(added), state)

    def _tokens(self, rows: Iterable[Row]) -> Iterator[Tokens]:
        for key, title, text in rows:
            yield key, self.tokens(f"{title}\n{text}")

    def search(self, question: str, n: int) -> Found:
        """Return the keys and scores of the `n` best passages.

        A question of one letter has no pair: it asks for all tokens that begin with it.
        """
        tokens = self.tokens(question)
        if len(tokens) == 1 and len(tokens[0]) == 1:
            tokens = self.engine.beginning(tokens[0])
        return self.engine.search(tokens, n) if tokens else []

    def close(self) -> None:
        """Let go of its files."""
        self.engine.close()


def _engine(name: str) -> Any:
    """Return the module of an engine; None if it is unknown, or what it needs is not installed."""
    if name not in ENGINES:
        return None
    try:
        return import_module(f"qa.retrieval.engines.{name}")
    except ImportError:
        return None
