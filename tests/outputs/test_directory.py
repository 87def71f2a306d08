"""The directory of a run: numbered, refused or emptied, and nothing of anybody else's removed."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

import qa.outputs.directory
from qa.engine import UserError
from qa.engine.atomic_files import remove
from qa.outputs.directory import check_output, clear_output, make_output


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """runs/ is made in the working directory."""
    monkeypatch.chdir(tmp_path)


def tree(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*"))


def make_finished_run(directory: Path) -> None:
    """Every file that a run leaves, with a checkpoint and a reader."""
    for name in ("checkpoints/step-00000001", "best", "tensorboard"):
        (directory / name).mkdir(parents=True)
        (directory / name / "content").touch()
    for name in ("config.json", "metrics.json", "predictions.json", "nbest_predictions.json"):
        (directory / name).write_text(json.dumps({}), encoding="utf-8")


def refused(directory: Path | str, resume: bool = False, overwrite: bool = False) -> str:
    with pytest.raises(UserError) as error:
        check_output(str(directory), resume, overwrite)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_runs_without_a_name_are_numbered(tmp_path: Path) -> None:
    made = [make_output(None, recipe) for recipe in ("a", "a", "b", "a")]
    assert [path.as_posix() for path in made] == [
        "runs/a-001", "runs/a-002", "runs/b-001", "runs/a-003"
    ]  # fmt: skip
    assert all(path.is_dir() for path in made)


def test_the_first_free_number_is_taken_even_beyond_999(tmp_path: Path) -> None:
    for number in (1, 3):
        (tmp_path / "runs" / f"a-{number:03d}").mkdir(parents=True)
    assert make_output(None, "a").name == "a-002"
    for number in range(4, 1000):
        (tmp_path / "runs" / f"a-{number:03d}").mkdir()
    assert make_output(None, "a").name == "a-1000"


def test_overwrite_without_a_name_touches_no_earlier_run() -> None:
    first = make_output(None, "a")
    make_finished_run(first)
    before = tree(first)
    assert make_output(None, "a") != first
    assert tree(first) == before


def test_a_named_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    name = str(tmp_path / "deep" / "er")
    check_output(name, False, False)
    assert not (tmp_path / "deep").exists()  # checking changes nothing
    assert make_output(name, "a") == Path(name)
    assert Path(name).is_dir()


def test_an_empty_directory_may_be_used(tmp_path: Path) -> None:
    check_output(str(tmp_path), False, False)
    check_output(None, False, False)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("name", ["metrics.json", ".hidden", "notes.txt"])
def test_a_directory_with_something_in_it_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    message = refused(tmp_path)
    assert all(text in message for text in (str(tmp_path), "--resume", "--overwrite"))
    check_output(str(tmp_path), False, True)
    assert tree(tmp_path) == [name]


def test_resuming_needs_checkpoints(tmp_path: Path) -> None:
    """Nothing to resume is said before the minutes of reading data, and nothing is made."""
    for directory in (tmp_path, tmp_path / "absent"):
        message = refused(directory, resume=True)
        assert f"{directory / 'checkpoints'}: there is no checkpoint to resume from" in message
    assert tree(tmp_path) == []
    make_finished_run(tmp_path)
    before = tree(tmp_path)
    check_output(str(tmp_path), True, False)
    assert tree(tmp_path) == before


def test_overwrite_removes_the_files_of_a_run_and_no_others(tmp_path: Path) -> None:
    make_finished_run(tmp_path)
    (tmp_path / ".best.old").mkdir()  # what a killed run leaves
    (tmp_path / ".metrics.json.tmp").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "metrics.json").touch()
    clear_output(tmp_path)
    assert tree(tmp_path) == ["data", "data/metrics.json", "notes.txt"]


def test_without_overwrite_nothing_is_removed(tmp_path: Path) -> None:
    make_finished_run(tmp_path)
    before = tree(tmp_path)
    make_output(str(tmp_path), "a")
    assert tree(tmp_path) == before


def test_overwrite_removes_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").symlink_to(elsewhere, target_is_directory=True)
    (run / "metrics.json").symlink_to(elsewhere / "absent")
    clear_output(run)
    assert tree(run) == []
    assert tree(elsewhere) == ["precious"]


def test_overwrite_knows_every_name_that_a_run_writes() -> None:
    expected = {"config.json", "metrics.json", "predictions.json", "nbest_predictions.json"}
    expected |= {"null_odds.json", "trace.json", "curves.jsonl", "report.html"}
    expected |= {"open_predictions.json"}  # `qa evaluate` with a collection
    assert set(qa.outputs.directory.OUTPUTS) == expected | {"checkpoints", "best", "tensorboard"}


@pytest.mark.parametrize("below", ["", "run", "deep/er"])
def test_a_file_in_the_way_is_refused(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    directory = file / below if below else file
    for resume, overwrite in ((False, False), (True, False), (False, True)):
        message = refused(directory, resume, overwrite)
        assert str(directory) in message
        assert f"{file} is not a directory" in message
    with pytest.raises(UserError, match="cannot be made") as error:
        make_output(str(directory), "a")
    assert "\n" not in str(error.value)
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_file_named_runs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match="runs is not a directory"):
        check_output(None, False, False)
    with pytest.raises(UserError, match=r"runs: .*cannot be made"):
        make_output(None, "a")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_directory_without_write_permission_is_refused(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "not writable" in refused(locked / "run")


def test_a_directory_that_the_system_calls_read_only_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above, also for root, whom no permission stops."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    message = refused(tmp_path / "run")
    assert f"{tmp_path} is not writable" in message
    assert "--output-dir" in message


RUN = {"recipe": "custom", "train_data": "a.json"}


@pytest.mark.parametrize("name", ["config.json", "best", "checkpoints"])
@pytest.mark.parametrize("config", [None, {"model_type": "bert"}, [], "broken"])
def test_overwrite_removes_nothing_that_no_run_wrote(
    name: str, config: object, tmp_path: Path
) -> None:
    """A model's directory, or that of another project."""
    if config is not None or name == "config.json":
        text = config if isinstance(config, str) else json.dumps(config)
        (tmp_path / "config.json").write_text(text, encoding="utf-8")
    if name != "config.json":
        (tmp_path / name).mkdir()
    assert "that no run of train.py wrote" in refused(tmp_path, overwrite=True)


@pytest.mark.parametrize("source", ["best", "predictions.json", "checkpoints/step-00000001"])
def test_overwrite_removes_nothing_that_the_run_reads(source: str, tmp_path: Path) -> None:
    make_finished_run(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(RUN), encoding="utf-8")
    (tmp_path / "mine.json").touch()
    check_output(str(tmp_path), False, True, [str(tmp_path / "mine.json"), None, "klue/bert-base"])
    sources = f"other.json,{tmp_path / source}"
    with pytest.raises(UserError, match="is what the run reads, and --overwrite would remove it"):
        check_output(str(tmp_path), False, True, [sources])
    check_output(str(tmp_path), True, False, [sources])  # nothing is removed


@pytest.mark.parametrize("form", ["x.json, {}", "{}@2", "hub:{}:config:train", "{}:dev"])
def test_sources_are_found_however_they_are_named(form: str, tmp_path: Path) -> None:
    make_finished_run(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(RUN), encoding="utf-8")
    source = form.format(tmp_path / "best")
    with pytest.raises(UserError, match="is what the run reads"):
        check_output(str(tmp_path), False, True, [source])


def test_what_a_kill_left_of_overwriting_can_be_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_finished_run(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(RUN), encoding="utf-8")

    def killed(path: Path) -> None:
        if path.name == "checkpoints":
            raise KeyboardInterrupt
        remove(path)

    with monkeypatch.context() as patched:
        patched.setattr(qa.outputs.directory, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            clear_output(tmp_path)
    check_output(str(tmp_path), False, True)


def test_who_cannot_resume_does_not_advise_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError) as error:
        check_output(str(tmp_path), None, False)
    assert "--resume" not in str(error.value)
    assert "--overwrite to replace" in str(error.value)


@pytest.mark.parametrize("names", [(b"r\xff", None), ("out", b"d\xff.json")])
def test_a_name_that_no_json_can_hold_is_refused(names: tuple[Any, Any]) -> None:
    directory, source = (os.fsdecode(name) if name else name for name in names)
    with pytest.raises(UserError, match="the name is not UTF-8; rename"):
        check_output(directory, False, False, [source])
