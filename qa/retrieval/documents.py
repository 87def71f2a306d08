"""The document: what a collection is made of."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from qa.retrieval.cut import VERSION


@dataclass(frozen=True)
class Document:
    """A text with a name of its own.

    Args:
        id: Unique in a collection; a document of the same id takes its place.
        title: "" where it has none.
        text: Its offsets are those of its passages and answers.
        is_passage: It is one passage, however long.
    """

    id: str
    title: str
    text: str
    is_passage: bool = False

    def digest(self, size: int) -> bytes:
        """Return 16 bytes that differ from those of any other content, or of another cut."""
        parts = (VERSION, str(size), str(self.is_passage), self.title, self.text)
        return blake2b("\0".join(parts).encode(), digest_size=16).digest()
