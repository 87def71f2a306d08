"""Indexes for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qa.retrieval.documents import Document
from qa.retrieval.settings import IndexSettings
from qa.retrieval.store import Counts
from qa.retrieval.writer import IndexWriter
from support.articles import ARTICLES

DOCUMENTS = [Document(f"{i}", title, text) for i, (title, text, _) in enumerate(ARTICLES)]


def fill(
    directory: Path,
    documents: Iterable[Document] = DOCUMENTS,
    settings: IndexSettings | None = None,
) -> Counts:
    """Add documents to an index, which is made if it is not there."""
    with IndexWriter(directory, settings) as writer:
        return writer.add(documents)
