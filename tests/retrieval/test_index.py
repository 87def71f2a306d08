"""An index: what is added is found, what is removed is not."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support.articles import ARTICLES
from support.bm25 import bm25
from support.indexes import DOCUMENTS, fill

from qa.engine.errors import Notice, UserError
from qa.retrieval.bigrams import bigrams
from qa.retrieval.documents import Document
from qa.retrieval.index import Index
from qa.retrieval.passage import Hit, Passage
from qa.retrieval.settings import IndexSettings
from qa.retrieval.store import Counts, Store
from qa.retrieval.writer import IndexWriter

QUESTION = "강나루가 태어난 해는?"
ALL = "강나루 물빛 도하늘 솔뫼산 윤가람 달맞이"


@pytest.fixture(params=["tantivy", "fts5"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An engine, which is the best one that is installed."""
    if request.param == "fts5":
        without_tantivy(monkeypatch)
    return str(request.param)


def without_tantivy(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on tantivy is not installed."""
    monkeypatch.setitem(sys.modules, "tantivy", None)
    monkeypatch.delitem(sys.modules, "qa.retrieval.engines.tantivy", raising=False)


def texts(hits: list[Hit]) -> list[str]:
    return [hit.passage.text for hit in hits]


def made_by(directory: Path) -> str:
    content = json.loads((directory / "index.json").read_text(encoding="utf-8"))
    return str(content["legs"]["bigrams"]["made_by"])


def test_the_right_article_is_found_for_each_question(engine: str, tmp_path: Path) -> None:
    assert fill(tmp_path / "i") == Counts(new=6)
    assert engine in made_by(tmp_path / "i")
    index = Index.open(tmp_path / "i")
    assert len(index) == 6
    rows = {n: bigrams(f"{title}\n{text}") for n, (title, text, _) in enumerate(ARTICLES)}
    for number, (title, text, pairs) in enumerate(ARTICLES):
        for question, _ in pairs:
            hits = index.search(question, 3)
            assert hits[0].passage == Passage(str(number), title, 0, text)
            expected = bm25(rows, bigrams(question), steps=engine == "tantivy")
            assert [hit.score for hit in hits] == pytest.approx(
                sorted(expected.values(), reverse=True)[:3], rel=1e-5
            )


@pytest.mark.parametrize("question", ["", "?!", "xyz", "뷁"])
def test_nothing_fits(question: str, tmp_path: Path) -> None:
    fill(tmp_path)
    assert Index.open(tmp_path).search(question, 5) == []


def test_one_syllable(engine: str, tmp_path: Path) -> None:
    fill(tmp_path, [Document("a", "", "나무가 산다. 산에"), Document("b", "", "바다에 산다")])
    found = Index.open(tmp_path).search("산?", 5)
    assert [hit.passage.document for hit in found] == ["a", "b"]


NOUNS = (
    "지렁이에게서 달팽이는 고래가 두루미를 반딧불이의 너구리와 물총새에게 살쾡이도 노루만 참새부터"
).split()


def test_nouns_are_found_with_any_particle(tmp_path: Path) -> None:
    """Ten of ten, asked for without the particle and with another one."""
    fill(tmp_path, [Document(word, "", f"우리는 {word} 배운다.") for word in NOUNS])
    index = Index.open(tmp_path)
    particles = "에게서 는 가 를 의 와 에게 도 만 부터".split()
    for word, particle in zip(NOUNS, particles, strict=True):
        noun = word.removesuffix(particle)
        for question in (noun, f"{noun}까지?"):
            assert index.search(question, 1)[0].passage.document == word


def test_what_is_the_same_is_not_added_again(tmp_path: Path) -> None:
    fill(tmp_path)
    changed = replace(DOCUMENTS[0], text="이제는 다른 글이다.")
    assert fill(tmp_path, [changed, *DOCUMENTS[1:]]) == Counts(replaced=1, unchanged=5)
    index = Index.open(tmp_path)
    assert texts(index.search("다른 글", 1)) == [changed.text]
    assert DOCUMENTS[0].text not in texts(index.search(QUESTION, 100))
    assert len(index) == 6


def test_a_document_that_is_empty_now_is_not_found_any_more(engine: str, tmp_path: Path) -> None:
    fill(tmp_path)
    assert DOCUMENTS[0].text in texts(Index.open(tmp_path).search(QUESTION, 100))
    assert fill(tmp_path, [replace(DOCUMENTS[0], text=" \n")]) == Counts(empty=1)
    index = Index.open(tmp_path)
    assert DOCUMENTS[0].text not in texts(index.search(QUESTION, 100))
    assert len(index) == 5


def test_removed_by_id_and_by_pattern(engine: str, tmp_path: Path) -> None:
    odd = Document("a[1]*", "", "이상한 이름의 글")
    fill(tmp_path, [odd, Document("a1x", "", "보통 이름의 글"), Document("b/1", "", "다른 글")])
    with IndexWriter(tmp_path) as writer:
        assert writer.remove("a[1]*") == 1  # its name, before what it would match
        assert writer.remove("b/*") == 1
        assert writer.remove("none") == 0
    assert texts(Index.open(tmp_path).search("글 이름의", 5)) == ["보통 이름의 글"]


def test_one_text_is_found_once(tmp_path: Path) -> None:
    same = [Document(str(i), "", "같은 글이다.") for i in range(30)]
    fill(tmp_path, [*same, Document("x", "", "다른 긴 글이 여기에 더 있다.")])
    index = Index.open(tmp_path)
    assert texts(index.search("같은 글이", 2)) == ["같은 글이다.", "다른 긴 글이 여기에 더 있다."]
    assert index.search("같은 글이", 1) == index.search("같은 글이", 20)[:1]


def test_an_open_index_sees_what_others_write(engine: str, tmp_path: Path) -> None:
    fill(tmp_path, DOCUMENTS[:3])
    index = Index.open(tmp_path)
    fill(tmp_path, DOCUMENTS[3:])
    assert texts(index.search("윤가람이 연주하는 악기는?", 1)) == [DOCUMENTS[4].text]
    with IndexWriter(tmp_path) as writer:
        writer.remove("4")
        assert DOCUMENTS[4].text not in texts(index.search("윤가람이 연주하는 악기는?", 9))


def test_a_search_that_cannot_be_opened_again_goes_on(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, DOCUMENTS[:3])
    index = Index.open(tmp_path)
    fill(tmp_path, DOCUMENTS[3:])
    path = tmp_path / "index.json"
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace("bigrams.1", "bigrams.9"), encoding="utf-8")
    assert texts(index.search(QUESTION, 1)) == [DOCUMENTS[0].text]
    path.write_text(content, encoding="utf-8")
    assert len(index.search(ALL, 99)) == 6


def test_a_folder_in_which_nobody_may_write(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may, so rights that are missing are played, and a lock that cannot be taken."""
    fill(tmp_path)
    lock = tmp_path / "bigrams.1" / ".tantivy-meta.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    index = Index.open(tmp_path)
    assert texts(index.search(QUESTION, 1)) == [DOCUMENTS[0].text]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["bigrams.1"]
    index.close()


def test_who_may_not_write_finds_what_others_write_meanwhile(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, DOCUMENTS[:3])
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    index = Index.open(tmp_path)
    assert len(index.search(ALL, 99)) == len(index) == 3
    fill(tmp_path, [*DOCUMENTS[3:], *(Document(f"n{i}", "", f"글 {i} " * 50) for i in range(300))])
    assert len(index) == 306
    assert len(texts(index.search(ALL, 999))) >= 6
    with IndexWriter(tmp_path) as writer:
        writer.remove("0")
    assert DOCUMENTS[0].text not in texts(index.search(QUESTION, 999))
    index.close()


def test_a_read_that_a_write_has_spoilt_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that SQLite takes for one that never changes."""
    fill(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    index = Index.open(tmp_path)
    passages, calls = Store.passages, []

    def spoilt(store: Store, keys: Sequence[int]) -> dict[int, Passage]:
        calls.append(keys)
        if len(calls) == 1:
            raise sqlite3.DatabaseError("database disk image is malformed")
        return passages(store, keys)

    monkeypatch.setattr(Store, "passages", spoilt)
    assert texts(index.search(QUESTION, 1)) == [DOCUMENTS[0].text]
    index.close()


def test_what_is_in_the_log_only_is_found_by_those_who_may_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    keeps_the_log = Index.open(tmp_path)
    fill(tmp_path, [Document("new", "", "맨 나중에 왔다.")])
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert texts(Index.open(tmp_path).search("나중에", 1)) == ["맨 나중에 왔다."]
    keeps_the_log.close()


def test_whoever_may_read_index_json_may_read_all(engine: str, tmp_path: Path) -> None:
    fill(tmp_path)
    expected = (tmp_path / "index.json").stat().st_mode & 0o777
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.stat().st_mode & 0o777 for file in files} == {expected}


def test_another_thread_searches(tmp_path: Path) -> None:
    fill(tmp_path)
    index, found = Index.open(tmp_path), []
    thread = Thread(target=lambda: found.append(index.search(QUESTION, 1)))
    thread.start()
    thread.join()
    assert found == [index.search(QUESTION, 1)]


def test_what_a_killed_writer_left_undone_is_done_when_it_is_opened(
    engine: str, tmp_path: Path
) -> None:
    fill(tmp_path, DOCUMENTS[:2])
    writer = IndexWriter(tmp_path)
    writer.add(DOCUMENTS[2:])
    writer.remove("0")
    writer.abandon()
    index = Index.open(tmp_path)
    assert len(index) == 5
    assert {*texts(index.search(ALL, 99))} == {each.text for each in DOCUMENTS[1:]}


def test_while_another_one_writes_what_it_has_not_finished_is_not_found(tmp_path: Path) -> None:
    fill(tmp_path, DOCUMENTS[:2])
    writer = IndexWriter(tmp_path)
    writer.add(DOCUMENTS[2:])
    with pytest.warns(Notice, match="not found yet"):
        index = Index.open(tmp_path)
    assert DOCUMENTS[4].text not in texts(index.search("윤가람이 연주하는 악기는?", 9))
    with pytest.raises(UserError, match="this process is writing there already"):
        IndexWriter(tmp_path)
    writer.close()
    assert DOCUMENTS[4].text in texts(index.search("윤가람이 연주하는 악기는?", 9))


def test_an_index_of_an_engine_that_is_not_here_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    before = Index.open(tmp_path).search(QUESTION, 3)
    without_tantivy(monkeypatch)
    with pytest.warns(Notice, match="made by bigrams 1, tantivy .* made anew by .*fts5 1"):
        index = Index.open(tmp_path)
    assert texts(index.search(QUESTION, 3)) == texts(before)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["bigrams.2"]


def test_rebuilt_by_a_better_engine(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        without_tantivy(patch)
        fill(tmp_path)
    assert "fts5" in made_by(tmp_path)
    Index.open(tmp_path)
    assert "fts5" in made_by(tmp_path)  # it can be read, so it is
    with IndexWriter(tmp_path) as writer:
        writer.renew(everything=True)
    assert "tantivy" in made_by(tmp_path)
    assert len(Index.open(tmp_path).search(ALL, 99)) == 6


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("meta.json", "{"),
        ("state.json", "{"),
        ("state.json", '{"keys": 6, "removal": 0}'),
        ("state.json", '{"key": "6", "removal": 0}'),
    ],
)
def test_a_damaged_search_is_made_anew(file: str, content: str, tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "bigrams.1" / file).write_text(content, encoding="utf-8")
    with pytest.warns(Notice, match="cannot be read .* made anew"):
        index = Index.open(tmp_path)
    assert texts(index.search(QUESTION, 1)) == [DOCUMENTS[0].text]


@pytest.mark.parametrize("damage", ["DELETE FROM state", "DROP TABLE state"])
def test_a_damaged_search_of_sqlite_is_made_anew(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_tantivy(monkeypatch)
    fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / "bigrams.1" / "fts5.db")) as database, database:
        database.execute(damage)
    with pytest.warns(Notice, match="cannot be read .* made anew"):
        index = Index.open(tmp_path)
    assert texts(index.search(QUESTION, 1)) == [DOCUMENTS[0].text]


@pytest.mark.parametrize(
    "leg",
    [
        {"folder": "../victim-1.2", "made_by": "x"},
        {"folder": "bigrams.1/../../victim-1.2", "made_by": "x"},
        {"folder": "korean.1", "made_by": "x"},
        {"folder": "bigrams.1", "made_by": 1},
        {"folder": "bigrams.1"},
        {"folder": 1, "made_by": "x"},
        {"made_by": "x"},
    ],
)
def test_an_index_of_somebody_else_reaches_nothing_outside(
    leg: dict[str, Any], tmp_path: Path
) -> None:
    victim = tmp_path / "victim-1.2" / "file"
    victim.parent.mkdir()
    victim.touch()
    fill(tmp_path / "i")
    path = tmp_path / "i" / "index.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["legs"]["bigrams"] = leg
    path.write_text(json.dumps(content), encoding="utf-8")
    for use in (Index.open, IndexWriter):
        with pytest.raises(UserError, match="index.json: is damaged"):
            use(tmp_path / "i")
    assert victim.exists()


@pytest.mark.parametrize("number", [1, 5])
def test_an_older_copy_of_the_table_is_searched_anew(
    number: int, engine: str, tmp_path: Path
) -> None:
    """With what is added to it, it has less than the search, or more."""
    path, backup = tmp_path / "i" / "passages.db", tmp_path / "backup"
    fill(path.parent, DOCUMENTS[:3])
    shutil.copyfile(path, backup)
    fill(path.parent, DOCUMENTS[3:])
    os.replace(backup, path)
    new = [Document(f"n{i}", "", f"{i}번째 알림이다.") for i in range(number)]
    writer = IndexWriter(path.parent)
    writer.add(new)
    writer.abandon()
    with pytest.warns(Notice, match="another table of passages; it is made anew"):
        index = Index.open(path.parent)
    assert {*texts(index.search("알림", 99))} == {each.text for each in new}
    assert {*texts(index.search(ALL, 99))} == {each.text for each in DOCUMENTS[:3]}


def test_a_table_that_was_lost_and_made_anew_is_searched_anew(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "passages.db").unlink()
    new = [Document(f"n{i}", "", f"{i}번째 알림이다.") for i in range(6)]
    with pytest.warns(Notice, match="another table of passages; it is made anew"):
        fill(tmp_path, new)
    index = Index.open(tmp_path)
    assert {*texts(index.search("알림", 99))} == {each.text for each in new}
    assert index.search("강나루", 99) == []


def test_an_index_whose_table_has_no_id_goes_on(tmp_path: Path) -> None:
    """It was made before tables had one; a table that is made in its place has."""
    fill(tmp_path, DOCUMENTS[:3])
    path = tmp_path / "index.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["legs"]["bigrams"].pop("table", None)
    path.write_text(json.dumps(content), encoding="utf-8")
    with closing(sqlite3.connect(tmp_path / "passages.db")) as database:
        database.execute("PRAGMA application_id = 0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fill(tmp_path, DOCUMENTS[3:])
        assert len(Index.open(tmp_path).search(ALL, 99)) == 6
    assert (tmp_path / "bigrams.1").is_dir()
    (tmp_path / "passages.db").unlink()
    with pytest.warns(Notice, match="another table of passages; it is made anew"):
        fill(tmp_path, DOCUMENTS)


@pytest.mark.parametrize("may_write", [True, False])
def test_an_index_that_was_made_anew_in_the_same_place_is_searched_once_it_is_whole(
    may_write: bool, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "i")
    if not may_write:
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    index = Index.open(tmp_path / "i")
    before = index.search(QUESTION, 1)
    shutil.rmtree(tmp_path / "i")
    assert index.search(QUESTION, 1) == before
    writer = IndexWriter(tmp_path / "i")
    writer.add([Document("0", "", "강나루가 태어난 해는 아무도 모른다.")])
    assert index.search(QUESTION, 1) == before
    writer.close()
    assert len(index) == 1
    assert texts(index.search(QUESTION, 9)) == ["강나루가 태어난 해는 아무도 모른다."]
    fill(tmp_path / "i", DOCUMENTS[:1])
    assert texts(index.search(QUESTION, 1)) == [DOCUMENTS[0].text]
    index.close()


def test_other_settings_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, settings=IndexSettings(passage_characters=200))
    fill(tmp_path)
    with pytest.raises(UserError, match="was made with other settings"):
        fill(tmp_path, settings=IndexSettings(passage_characters=300))


def test_an_index_of_another_version_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "index.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 1', '"format": 9'))
    with pytest.raises(UserError, match="is an index of format 9, and this version of qa reads 1"):
        Index.open(tmp_path)


def test_what_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such index"):
        Index.open(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is no index"):
        Index.open(tmp_path)
    with pytest.raises(UserError, match="is there and no index"):
        IndexWriter(tmp_path)
    fill(tmp_path / "i")
    index = Index.open(tmp_path / "i")
    with pytest.raises(UserError, match="k must be at least 1"):
        index.search("?", 0)


def test_a_sqlite_without_fts5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import qa.retrieval.engines.fts5 as fts5

    without_tantivy(monkeypatch)
    monkeypatch.setattr(fts5, "SCHEMA", "CREATE VIRTUAL TABLE tokens USING fts99(tokens);")
    with pytest.raises(UserError, match="SQLite has no FTS5 .no such module.* pip install"):
        fill(tmp_path)


@pytest.mark.parametrize("content", [None, b"no database at all, but a text of some length"])
def test_a_damaged_table_of_passages_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "passages.db").unlink()
    if content is not None:
        (tmp_path / "passages.db").write_bytes(content * 100)
    with pytest.raises(UserError, match="the table of passages cannot be read .*anew"):
        Index.open(tmp_path)
