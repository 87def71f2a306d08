"""Both engines give the scores of BM25, also after removals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bm25 import bm25

from qa.retrieval.engines.engine import Engine, State
from qa.retrieval.engines.fts5 import Fts5Engine
from qa.retrieval.engines.tantivy import TantivyEngine

ENGINES: dict[str, type[Fts5Engine | TantivyEngine]] = {
    "fts5": Fts5Engine,
    "tantivy": TantivyEngine,
}
# The last ones: not in Unicode 6.1, and what FTS5 would take for an operator or fold.
TOKENS = st.sampled_from(["가나", "나다", "ab", "é1", "e1", "ßx", "\U0001e900x", "or"])
PASSAGES = st.lists(st.lists(TOKENS, min_size=1, max_size=12), min_size=1, max_size=8)


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=10, deadline=None)
@given(passages=PASSAGES, question=st.lists(TOKENS, min_size=1, max_size=6))
def test_scores_are_those_of_the_formula(
    name: str, passages: list[list[str]], question: list[str]
) -> None:
    rows = dict(enumerate(passages, 1))
    with TemporaryDirectory() as folder:
        engine: Engine = ENGINES[name](Path(folder), write=True)
        engine.apply([], rows.items(), State(len(rows), 0))
        found = engine.search(question, 100)
        assert engine.state() == State(len(rows), 0)
        engine.close()
    expected = bm25(rows, question)
    assert dict(found) == pytest.approx(expected, rel=1e-5)
    assert found == sorted(found, key=lambda each: (-each[1], each[0]))


@pytest.mark.parametrize("name", ENGINES)
def test_long_passages(name: str, tmp_path: Path) -> None:
    """FTS5 counts lengths exactly, tantivy in steps, as Lucene does."""
    rows = {key: ["가나"] * (key % 3 + 1) + ["다라"] * (key * 37) for key in range(1, 20)}
    engine: Engine = ENGINES[name](tmp_path, write=True)
    engine.apply([], rows.items(), State(19, 0))
    expected = bm25(rows, ["가나"], steps=name == "tantivy")
    assert dict(engine.search(["가나"], 100)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ENGINES)
def test_removed_passages_are_gone_and_leave_no_trace(name: str, tmp_path: Path) -> None:
    rows = {1: ["가나", "나다"], 2: ["가나"], 3: ["다라", "가나"]}
    engine: Engine = ENGINES[name](tmp_path, write=True)
    engine.apply([], rows.items(), State(3, 0))
    engine.apply([(2, rows.pop(2))], [(4, ["나다"])], State(4, 1))
    rows[4] = ["나다"]
    engine.close()
    engine = ENGINES[name](tmp_path)
    assert engine.state() == State(4, 1)
    found = dict(engine.search(["가나", "나다"], 100))
    assert found.keys() == {1, 3, 4}
    if name == "fts5":  # tantivy counts removed ones until it merges its parts
        assert found == pytest.approx(bm25(rows, ["가나", "나다"]), rel=1e-5)
    assert sorted(engine.beginning("나")) == ["나다"]


def test_what_a_killed_writer_left_in_tantivy_is_not_there_twice(tmp_path: Path) -> None:
    """Killed after the commit, before the state was written: the same passages come again."""
    engine = TantivyEngine(tmp_path, write=True)
    before = (tmp_path / "state.json").read_text(encoding="utf-8")
    engine.apply([], [(1, ["가나"]), (2, ["가나"])], State(2, 0))
    (tmp_path / "state.json").write_text(before, encoding="utf-8")
    engine = TantivyEngine(tmp_path, write=True)
    engine.apply([], [(1, ["가나"]), (2, ["가나"])], State(2, 0))
    assert [key for key, _ in engine.search(["가나"], 100)] == [1, 2]


def test_tantivy_on_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    """Which commands tell as one line; no file may grow in this process."""
    program = f"""
import resource, signal
from qa.retrieval.engines.engine import State
from qa.retrieval.engines.tantivy import TantivyEngine
from pathlib import Path
engine = TantivyEngine(Path({str(tmp_path)!r}), write=True)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
try:
    engine.apply([], [(1, ["가나"])], State(1, 0))
except OSError as error:
    print(error.filename)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == f"{tmp_path}\n", done.stderr


def test_a_very_long_question(tmp_path: Path) -> None:
    """More tokens than SQLite takes parts of one statement."""
    rows = {1: [f"t{i}" for i in range(1200)], 2: ["t3"]}
    engine = Fts5Engine(tmp_path, write=True)
    engine.apply([], rows.items(), State(2, 0))
    expected = bm25(rows, rows[1])
    assert dict(engine.search(rows[1], 5)) == pytest.approx(expected, rel=1e-5)
