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


def write(directory: Path, first: int, pipe: Connection) -> None:
    """Add documents one by one, remove some, and tell of each step, until killed."""
    while True:
        with IndexWriter(directory) as writer:
            for number in range(first, first + 5):
                writer.add([Document(str(number), "", f"글 {number:05d}번이다.")])
                pipe.send(("added", number))
            pipe.send(("removing", first))
            writer.remove(str(first))
            pipe.send(("removed", first))
            first += 5


def told(pipe: Connection) -> list[tuple[str, int]]:
    """Return all that a killed process told; the last message may be half one."""
    messages = []
    while True:
        try:
            messages.append(pipe.recv())
        except (EOFError, OSError):
            return messages


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_while_writing(kills: int, tmp_path: Path) -> None:
    fork, draw = get_context("fork"), random.Random(0)
    present, gone, first = set[int](), set[int](), 0
    for _ in range(kills):
        ours, theirs = fork.Pipe(duplex=False)
        process = fork.Process(target=write, args=(tmp_path, first, theirs))
        process.start()
        theirs.close()
        assert ours.poll(60)
        time.sleep(draw.random() * 0.1)
        process.kill()
        process.join()
        for step, number in told(ours):
            first = max(first, number + 2)  # one more may be in, which it did not tell
            if step == "added":
                present.add(number)
            else:  # from "removing" on nobody knows, until "removed"
                present.discard(number)
            if step == "removed":
                gone.add(number)
        index = Index.open(tmp_path)
        assert len(index) >= len(present)
        for number in present | gone:
            hits = index.search(f"{number:05d}번", 3)
            is_there = str(number) in [hit.passage.document for hit in hits]
            assert is_there == (number in present)
        index.close()
    with sqlite3.connect(tmp_path / "passages.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert len(present) >= kills
