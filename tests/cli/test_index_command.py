"""`python -m qa index`: what it says, and what it refuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

import qa.cli.index
from qa.cli.index import NO_DOCUMENTS
from qa.engine.json_files import write_json
from qa.retrieval.index import Index

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command on the index `i`: exit code, stdout, stderr."""

    def index(*arguments: object) -> tuple[int, str, str]:
        code = qa.cli.index.main([*map(str, arguments), "--output", str(tmp_path / "i")])
        out, err = capsys.readouterr()
        return code, out.replace(str(tmp_path), ""), err.replace(str(tmp_path), "")

    return index


def test_added_replaced_and_removed(run: Run, squad_file: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name, text in (("a.txt", "하나"), ("b.txt", "둘둘 " * 300), ("empty.txt", " \n")):
        (tmp_path / "docs" / name).write_text(text, encoding="utf-8")
    assert run(squad_file, tmp_path / "docs") == (
        0,
        "8 new, 0 replaced, 0 unchanged, 1 empty\nindex: /i (8 documents, 9 passages)\n",
        "",
    )
    (tmp_path / "docs" / "a.txt").write_text("셋", encoding="utf-8")
    (tmp_path / "docs" / "new.rst").touch()
    code, out, err = run(tmp_path / "docs")
    assert (code, out.splitlines()[0]) == (0, "0 new, 1 replaced, 1 unchanged, 1 empty")
    assert err == "note: 1 files of other kinds are passed over (new.rst)\n"
    assert run("--remove", "a.txt", "--remove", "squad.json#*", "--rebuild")[1] == (
        "1 documents removed: a.txt\n6 documents removed: squad.json#*\n"
        "index: /i (1 documents, 2 passages)\n"
    )
    assert len(Index.open(tmp_path / "i")) == 2
    (tmp_path / "안내.txt").write_text("글", encoding="utf-8")
    run(tmp_path / "안내.txt")
    windows = os.fsdecode(b"\xb0\xa1.txt")
    assert run("--remove", windows)[1].startswith("0 documents removed: 가.txt")
    for name in ("[공지] 안내.txt", "공문.txt", "지침.md"):
        (tmp_path / "docs" / name).write_text(name, encoding="utf-8")
    run(tmp_path / "docs")
    assert run("--remove", "[공지]*")[1].startswith("1 documents removed")
    assert run("--remove", "[공지] 안내.txt")[1].startswith("0 documents removed")
    assert run("--remove", "공문.t?t", "--remove", "지침.md", "--remove", "a.txt")[0] == 0
    decomposed = normalize("NFD", "안내*")  # as a Mac's shell completes it
    assert run("--remove", decomposed)[1].startswith("1 documents removed")
    assert run()[1] == "index: /i (1 documents, 2 passages)\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "is no index yet; pass the documents to make one of"),
        (["none.txt"], "none.txt: no such file or folder"),
        (["a.txt", "--passage-characters", "3"], "passage_characters must be at least 50, not 3"),
        (["a.txt", "--passage-size", "3"], "unknown flag --passage-size"),
    ],
)
def test_mistakes_leave_nothing_behind(
    arguments: list[str], line: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("글", encoding="utf-8")
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert line in err
    assert not (tmp_path / "i").exists()


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ([], NO_DOCUMENTS),
        (["scan.pdf"], NO_DOCUMENTS),
        (["a.txt", "b.md"], "all documents are empty"),
    ],
)
def test_no_index_is_made_of_nothing(names: list[str], line: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in names:
        (tmp_path / "docs" / name).write_text(" ", encoding="utf-8")
    code, out, err = run(tmp_path / "docs")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"error: /i: not made: /docs: {line}"
    assert not (tmp_path / "i").exists()
    (tmp_path / "docs" / "c.txt").write_text("글", encoding="utf-8")
    assert run(tmp_path / "docs")[0] == 0
    (tmp_path / "docs" / "c.txt").unlink()
    assert run(tmp_path / "docs")[0] == 0  # what is there already stays, as with any folder


def test_a_first_call_that_fails_leaves_nothing_behind(
    run: Run, encoder_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose settings would stand in the way of the next one."""
    (tmp_path / "a.txt").write_text("글", encoding="utf-8")
    code, _, err = run(tmp_path / "a.txt", "--dense", tmp_path / "no model")
    assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "i").exists()
    (tmp_path / "bad.txt").write_bytes(b"\xff\x00\x01")
    for is_there in (False, True):
        if is_there:
            (tmp_path / "i").mkdir()
            (tmp_path / "i" / ".lock").touch()
        assert run(tmp_path / "bad.txt", "--passage-characters", "77")[0] == 2
        assert not (tmp_path / "i").exists()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "i").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    code, _, err = run(tmp_path / "bad.txt")
    assert (code, err.startswith("error: /bad.txt: ")) == (2, True)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "i").unlink()
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    assert run(tmp_path / "a.txt", "--korean")[0] == 2
    assert not (tmp_path / "i").exists()
    assert run(tmp_path / "a.txt", "--dense", encoder_dir)[0] == 0
    assert run(tmp_path / "bad.txt")[0] == 2
    assert len(Index.open(tmp_path / "i")) == 1


@pytest.mark.parametrize(
    "content",
    [
        {"format": 1},
        {"format": "1"},
        {"format": 1, "settings": 5, "legs": {}},
        {"format": 1, "settings": {}, "legs": []},
        {"format": 1, "settings": {}, "legs": {"bigrams": 3}},
    ],
)
def test_an_index_json_that_a_person_changed_is_one_line(
    content: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("글", encoding="utf-8")
    run(tmp_path / "a.txt")
    write_json(tmp_path / "i" / "index.json", content)
    code, out, err = run(tmp_path / "a.txt")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_table_that_is_damaged_further_on(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("글 " * 9000, encoding="utf-8")
    run(text)
    table = tmp_path / "i" / "passages.db"
    content = table.read_bytes()
    table.write_bytes(content[:4096] + bytes(len(content) - 4096))
    text.write_text("다른 글", encoding="utf-8")
    code, out, err = run(text)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "/i: the index cannot be used (" in err


def test_files_of_which_none_can_be_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\x00\x01")
    code, _, err = run(tmp_path / "a.txt")
    assert code == 2
    assert err.startswith("error: /a.txt: ")
