"""The lines of a long `qa predict`, and a disk that is full at a bad moment.

Kills are in tests/cli/test_predict_resume.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from support.files import no_file_larger_than

from qa.engine.errors import Notice, UserError
from qa.outputs.partial_lines import PartialLines, Progress, part_of, progress_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size there")

IDENTITY = {"data": "d" * 100_000}  # longer than what else is written while the limit holds


def lines_of(path: Path, resume: bool, identity: dict[str, Any] = IDENTITY) -> PartialLines:
    return PartialLines(path, identity, resume, overwrite=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a run that was stopped behind a block of two lines, one of them unanswered."""
    path = tmp_path / "out.jsonl"
    with lines_of(path, False) as lines:
        lines.add(["first", "second"], 1)
    return path


def test_a_disk_that_is_full_while_progress_is_told(path: Path) -> None:
    """The error names the file; what was whole before is gone on with, to the same end."""
    size = progress_of(path).stat().st_size
    with (
        no_file_larger_than(size + 4),
        pytest.warns(Notice, match="--resume, and without --overwrite, goes on"),
        pytest.raises(OSError, match="out.jsonl.part") as caught,
        lines_of(path, True) as lines,
    ):
        lines.add(["third"], 0)
    assert caught.value.filename == f"{path}.part"
    with lines_of(path, True) as lines:
        assert lines.done == Progress(2, 1, 13)
        lines.add(["third"], 0)
        lines.finish()
    assert path.read_text(encoding="utf-8") == "first\nsecond\nthird\n"
    assert [each.name for each in path.parent.iterdir()] == ["out.jsonl"]


def test_a_disk_that_is_full_when_it_goes_on(path: Path) -> None:
    """What is known of the lines is not lost."""
    with no_file_larger_than(0), lines_of(path, True) as lines:
        assert lines.done.questions == 2
    assert lines_of(path, True).done.questions == 2


@pytest.mark.parametrize(("resume", "overwrite"), [(True, False), (False, True), (False, False)])
def test_a_file_that_another_run_writes_is_left_to_it(
    resume: bool, overwrite: bool, tmp_path: Path
) -> None:
    path = tmp_path / "out.jsonl"
    with lines_of(path, False) as first:
        first.add(["first"], 0)
        with pytest.raises(UserError, match="another run is writing it"):
            PartialLines(path, IDENTITY, resume, overwrite)
        first.add(["second"], 0)
        first.finish()
    assert path.read_text() == "first\nsecond\n"
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]
    if not overwrite:  # it came while this one loaded its model
        with pytest.raises(UserError, match="is there already"):
            PartialLines(path, IDENTITY, resume, overwrite)
        assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]
        path.unlink()
    with PartialLines(path, IDENTITY, resume, overwrite) as again:  # now it is free
        again.add(["new"], 0)
        again.finish()
    assert path.read_text() == "new\n"


def test_nobody_writes_a_file_that_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run comes just before, and just behind."""
    path = tmp_path / "out.jsonl"
    rename, tries = os.replace, []

    def try_to_write() -> None:
        try:
            PartialLines(path, IDENTITY, False, True).__exit__(None, KeyboardInterrupt(), None)
            tries.append("begun")
        except UserError as error:
            tries.append(str(error))

    behind: list[PartialLines] = []

    def replace(old: Path, new: Path) -> None:
        try_to_write()
        rename(old, new)
        behind.append(PartialLines(path, IDENTITY, False, True))
        behind[0].add(["second"], 0)

    with lines_of(path, False) as lines:
        lines.add(["first"], 0)
        monkeypatch.setattr(os, "replace", replace)
        lines.finish()
    assert len(tries) == 1
    assert "another run is writing it" in tries[0]
    assert path.read_text() == "first\n"
    assert progress_of(path).exists()
    monkeypatch.setattr(os, "replace", rename)
    behind[0].finish()
    assert path.read_text() == "second\n"
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize("resume", [False, True])
def test_lines_of_which_nothing_is_known_are_not_removed(resume: bool, path: Path) -> None:
    """Copied to another machine without the file that tells what they are."""
    progress_of(path).unlink()
    content = part_of(path).read_bytes()
    with pytest.raises(UserError, match="without out.jsonl.progress, which says what it"):
        lines_of(path, resume)
    assert part_of(path).read_bytes() == content
    assert not progress_of(path).exists()
    with PartialLines(path, IDENTITY, False, overwrite=True) as lines:
        assert lines.done == Progress()


def test_lines_that_are_to_replace_a_file_can_be_gone_on_with(path: Path) -> None:
    path.write_text("old\n")
    with pytest.raises(UserError, match="is there already"):
        lines_of(path, False)
    with lines_of(path, True) as lines:
        assert path.read_text() == "old\n"
        lines.add(["third"], 0)
        lines.finish()
    assert path.read_text() == "first\nsecond\nthird\n"
