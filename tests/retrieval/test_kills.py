"""A writer that is killed at any moment loses nothing that it had confirmed."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from qa.retrieval.documents import Document
from qa.retrieval.index import Index
from qa.retrieval.writer import IndexWriter

KILLS = 5


def write(directory: Path, first: int, pipe: Connection) -> None:
    """Add documents one by one and tell of each, until killed."""
    while True:
        with IndexWriter(directory) as writer:
            for number in range(first, first + 5):
                list(writer.add([Document(str(number), "", f"글 {number:05d}번이다.")]))
                pipe.send(number)
            first += 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_kills_while_adding(tmp_path: Path) -> None:
    draw, confirmed = random.Random(0), -1
    for _ in range(KILLS):
        ours, theirs = get_context("fork").Pipe(duplex=False)
        arguments = (tmp_path, confirmed + 1, theirs)
        process = get_context("fork").Process(target=write, args=arguments)
        process.start()
        theirs.close()
        assert ours.poll(60)
        time.sleep(draw.random() * 0.1)
        process.kill()
        process.join()
        try:
            while True:
                confirmed = ours.recv()
        except (EOFError, OSError):
            pass  # all that it told; the last message may be half one
        index = Index.open(tmp_path)
        # One more may be in, which was not confirmed yet.
        assert len(index) - (confirmed + 1) in (0, 1)
        for number in range(confirmed + 1):
            (hit,) = index.search(f"{number:05d}번", 1)
            assert hit.passage.document == str(number)
        confirmed = len(index) - 1
        index.close()
    with sqlite3.connect(tmp_path / "passages.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert confirmed >= KILLS
