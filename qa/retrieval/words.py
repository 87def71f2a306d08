"""Legs of words: BM25 over the tokens of titles and texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from qa.retrieval.engines.engine import Engine, Found, State, Tokens
from qa.retrieval.leg import Leg
from qa.retrieval.store import Row

ENGINES = {"tantivy": "TantivyEngine", "fts5": "Fts5Engine"}  # the best one first


@dataclass(frozen=True)
class Words:
    """A kind of leg.

    Args:
        name: Of its folder.
        version: Returns another text if the tokens are others.
        tokens: Makes the tokens of a text.
        weight: Of its scores when legs are fused.
    """

    name: str
    version: Callable[[], str]
    tokens: Callable[[str], list[str]]
    weight: float = 1.0

    def made_by(self) -> str:
        """The version of the tokens, and the best engine that is installed."""
        name = next(name for name in ENGINES if _engine(name) is not None)
        return f"{self.version()}, {_engine(name).FORMAT}"

    def reads(self, made_by: str) -> bool:
        """Return whether the tokens are the same, and the engine is installed."""
        version, _, form = made_by.partition(", ")
        module = _engine(form.partition(" ")[0])
        return version == self.version() and form == getattr(module, "FORMAT", None)

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
