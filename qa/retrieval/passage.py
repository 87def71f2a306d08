"""What a collection holds and what a search of it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Passage:
    """A piece of a document: `document's text[start : start + len(text)] == text`."""

    document: str  # its id in the collection: a path, or the id that its file gives
    title: str  # "" where it has none
    start: int  # of the passage in its document, in characters
    text: str


@dataclass(frozen=True)
class Hit:
    """A passage that was found."""

    passage: Passage
    score: float  # of the search, larger is better; comparable within one question only


class Search(Protocol):
    """Anything that finds passages."""

    def search(self, question: str, k: int) -> list[Hit]:
        """Return at most `k` passages that fit a question best, best first."""
        ...
