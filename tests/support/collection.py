"""A small collection, searched by brute force: no index and no folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from unicodedata import normalize

from qa.retrieval.passage import Hit, Passage
from support.articles import ARTICLES


@dataclass
class WordSearch:
    """Finds the passages that share most pairs of letters with a question; those that share none
    are not found. Notes what it was asked.
    """

    passages: Sequence[Passage]
    asked: list[tuple[str, int]] = field(default_factory=list)

    def search(self, question: str, k: int) -> list[Hit]:
        """Return at most `k` passages, best first; of equals the first."""
        self.asked.append((question, k))
        wanted = pairs_of(question)
        hits = [Hit(p, float(len(wanted & pairs_of(p.title + p.text)))) for p in self.passages]
        return sorted((h for h in hits if h.score), key=lambda hit: -hit.score)[:k]

    def __len__(self) -> int:
        return len(self.passages)


def pairs_of(text: str) -> set[str]:
    """All pairs of neighbouring letters."""
    letters = "".join(filter(str.isalnum, normalize("NFC", text)))
    return {letters[i : i + 2] for i in range(len(letters) - 1)}


def article_passages() -> list[Passage]:
    """`ARTICLES` cut into their two sentences, each a passage of its document."""
    passages = []
    for number, (title, text, _) in enumerate(ARTICLES):
        end = text.index(". ") + 2 if ". " in text else len(text)
        for start, piece in ((0, text[:end]), (end, text[end:])):
            if piece:
                passages.append(Passage(f"articles/{number}.txt", title, start, piece))
    return passages


TEXTS = {f"articles/{number}.txt": text for number, (_, text, _) in enumerate(ARTICLES)}
"""The whole documents, by id."""
