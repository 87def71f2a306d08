"""What an engine does for a leg of the search."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeAlias

K1, B = 1.2, 0.75  # of BM25: fixed in FTS5 and in tantivy

Tokens: TypeAlias = tuple[int, list[str]]
"""A passage's key and its tokens, which hold no blank"""

Found: TypeAlias = list[tuple[int, float]]
"""Keys and scores, best first"""


class State(NamedTuple):
    """How much of the table of passages is in an index that is made of it."""

    key: int = 0  # all passages up to this key
    removal: int = 0  # without those that were removed up to this number


class Engine(Protocol):
    """Finds the keys of passages by their tokens, with Lucene's BM25, k1 1.2 and b 0.75."""

    def state(self) -> State:
        """What is in it."""
        ...

    def apply(self, removed: Iterable[Tokens], added: Iterable[Tokens], state: State) -> None:
        """Take passages out and in, all of it or nothing; killed before its end, it can be tried
        again with the same passages.
        """
        ...

    def search(self, tokens: list[str], n: int) -> Found:
        """Return the `n` best passages that have any of the tokens; one that stands twice counts
        twice.
        """
        ...

    def beginning(self, start: str) -> list[str]:
        """Return the tokens that begin so."""
        ...

    def close(self) -> None:
        """Let go of its files."""
        ...
