"""Checkpoints and files: complete or absent, and never trusted blindly."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import shutil
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.files import MakesDirectory, read_json

from qa.engine import (
    CheckpointWriter,
    RunLock,
    StepTrace,
    TensorBoard,
    UserError,
    list_checkpoints,
    load_checkpoint,
    load_newest_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from qa.engine.atomic_files import naming, replace_directory
from qa.engine.json_files import write_json
from qa.engine.loadable import require_loadable
from qa.engine.rng import rng_state, set_rng_state

STATE: dict[str, Any] = {
    "model": {"weight": torch.arange(6.0).reshape(2, 3), "half": torch.ones(2).bfloat16()},
    "global_step": 7,
    "names": ["가", "나"],
    "pair": (1, None),
}


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_round_trip(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "checkpoints", 7, STATE, {"epoch": 0.5})
    loaded = load_checkpoint(path)
    assert path.name == "step-00000007"
    assert loaded.keys() == STATE.keys()
    for name, value in STATE["model"].items():
        assert torch.equal(loaded["model"][name], value)
        assert loaded["model"][name].dtype == value.dtype
    assert {k: v for k, v in loaded.items() if k != "model"} == {
        k: v for k, v in STATE.items() if k != "model"
    }


def test_the_summary_is_for_people_and_names_the_true_fingerprint(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 7, STATE, {"epoch": 0.5, "note": "가"})
    text = (path / "checkpoint.json").read_text(encoding="utf-8")
    content = (path / "state.pt").read_bytes()
    fingerprint = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    expected = {"step": 7, "epoch": 0.5, "note": "가", "files": {"state.pt": fingerprint}}
    assert json.loads(text) == expected
    assert "가" in text


def test_a_summary_may_be_nothing_and_does_not_rename_the_step(tmp_path: Path) -> None:
    for summary in (None, {"step": 3}):
        path = save_checkpoint(tmp_path, 7, STATE, summary)
        assert read_json(path / "checkpoint.json")["step"] == 7


@pytest.mark.parametrize("value", [torch.ones(()), np.float32(1), {1, 2}])
def test_a_summary_that_json_cannot_hold_is_one_line(value: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the summary of a checkpoint is JSON"):
        save_checkpoint(tmp_path, 7, STATE, {"loss": value})
    assert list(tmp_path.iterdir()) == []


def test_the_state_of_all_generators_survives_a_file(tmp_path: Path) -> None:
    import random

    import numpy as np

    path = save_checkpoint(tmp_path, 1, {"rng": rng_state()}, {})
    drawn = [random.random(), np.random.random(), np.random.normal(), torch.rand(()).item()]
    set_rng_state(load_checkpoint(path)["rng"])
    again = [random.random(), np.random.random(), np.random.normal(), torch.rand(()).item()]
    assert again == drawn


@pytest.mark.parametrize(
    ("state", "summary"),
    [
        ({"f": lambda: None}, {}),  # could not be loaded
        ({}, {"value": torch.ones(1)}),  # cannot be JSON, after the state was written
    ],
)
@pytest.mark.parametrize("step", [1, 2])
def test_a_failure_while_writing_leaves_everything_as_it_was(
    tmp_path: Path, step: int, state: dict[str, Any], summary: dict[str, Any]
) -> None:
    old = save_checkpoint(tmp_path, 1, STATE, {})
    content = {file.name: file.read_bytes() for file in old.iterdir()}
    with pytest.raises((UserError, TypeError)):
        save_checkpoint(tmp_path, step, state, summary)
    assert names(tmp_path) == ["step-00000001"]
    assert {file.name: file.read_bytes() for file in old.iterdir()} == content


def test_a_folder_may_be_named_by_a_text(tmp_path: Path) -> None:
    folder = str(tmp_path / "checkpoints")
    for step in (1, 2, 3):
        save_checkpoint(folder, step, {"step": step}, {})
    prune_checkpoints(folder, 2)
    found = list_checkpoints(folder)
    assert [path.name for path in found] == ["step-00000002", "step-00000003"]
    assert load_checkpoint(str(found[0])) == {"step": 2}
    assert load_newest_checkpoint(folder, print) == (found[1], {"step": 3})
    CheckpointWriter(folder, limit=1).save(4, {"step": 4}, {})
    assert [path.name for path in list_checkpoints(folder)] == ["step-00000004"]
    RunLock(folder).release()
    trace = StepTrace(f"{folder}/trace.json")
    while not trace.step():
        pass
    assert "traceEvents" in read_json(Path(folder, "trace.json"))
    with closing(TensorBoard(folder, lines=f"{folder}/curves.jsonl")) as tb:
        tb.scalars({"loss": 1.0}, 1)
    assert Path(folder, "curves.jsonl").read_text() == '{"step": 1, "loss": 1.0}\n'


def test_saving_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, STATE, {})
    path = save_checkpoint(tmp_path, 1, {"other": 1}, {})
    assert load_checkpoint(path) == {"other": 1}
    assert names(tmp_path) == ["step-00000001"]


def truncate(path: Path) -> None:
    content = (path / "state.pt").read_bytes()
    (path / "state.pt").write_bytes(content[: len(content) // 2])


def flip_a_byte(path: Path) -> None:
    content = bytearray((path / "state.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "state.pt").write_bytes(content)


def empty_the_state(path: Path) -> None:
    (path / "state.pt").write_bytes(b"")


def remove_the_state(path: Path) -> None:
    (path / "state.pt").unlink()


def remove_the_summary(path: Path) -> None:
    (path / "checkpoint.json").unlink()


def remove_everything(path: Path) -> None:
    remove_the_state(path)
    remove_the_summary(path)
    path.rmdir()


def summary_of(content: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        (path / "checkpoint.json").write_bytes(content)

    damage.__name__ = f"summary_{content!r}"
    return damage


DAMAGES = [
    truncate,
    flip_a_byte,
    empty_the_state,
    remove_the_state,
    remove_the_summary,
    remove_everything,
    *map(
        summary_of,
        [b"", b"{", b"[]", b"null", b"3", b"{}", b'{"files": {}}', b'{"files": 3}', b"\xff\xfe"],
    ),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = save_checkpoint(tmp_path, 7, STATE, {})
    damage(path)
    with pytest.raises(UserError) as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_none_of_torch_s_is_refused_even_if_it_is_whole(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 7, STATE, {})
    write_state_with_matching_fingerprint(path, b"garbage" * 100)
    with pytest.raises(UserError, match="step-00000007"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. can't allocate memory"),
        MemoryError(),
    ],
)
def test_short_memory_is_no_fault_of_the_checkpoint(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is an older one taken instead, behind which the whole one would be removed."""

    def fail(*_: Any, **options: Any) -> None:
        raise error

    for step in (1, 2):
        save_checkpoint(tmp_path, step, STATE, {})
    monkeypatch.setattr(torch, "load", fail)
    lines: list[str] = []
    with pytest.raises(type(error)) as caught:
        load_newest_checkpoint(tmp_path, lines.append)
    assert caught.value is error
    assert lines == []


def write_state_with_matching_fingerprint(path: Path, content: bytes) -> None:
    (path / "state.pt").write_bytes(content)
    fingerprint = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    summary = {"step": 7, "files": {"state.pt": fingerprint}}
    (path / "checkpoint.json").write_text(json.dumps(summary), encoding="utf-8")


@pytest.mark.parametrize("is_plain_pickle", [False, True])
def test_a_pickle_with_code_is_refused_and_the_code_does_not_run(
    tmp_path: Path, is_plain_pickle: bool
) -> None:
    marker = tmp_path / "code-was-run"
    state = {"model": MakesDirectory(marker)}
    path = save_checkpoint(tmp_path / "checkpoints", 7, STATE, {})
    file = io.BytesIO()
    torch.save(state, file)
    content = pickle.dumps(state, protocol=2) if is_plain_pickle else file.getvalue()
    write_state_with_matching_fingerprint(path, content)
    with pytest.raises(UserError, match="step-00000007") as error:
        load_checkpoint(path)
    assert not marker.exists()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (np.float64(0.5), "tracker.best.f1, which is numpy.float64"),
        (np.arange(3), "tracker.best.f1, which is numpy.ndarray"),
        ([1, (2, np.int64(3))], r"tracker.best.f1\[1\]\[1\], which is numpy.int64"),
        ({np.int64(3): 1}, "the key tracker.best.f1.3, which is numpy.int64"),
        (Path("x"), "tracker.best.f1, which is pathlib"),
        (lambda: None, "tracker.best.f1, which is function"),
    ],
)
@pytest.mark.parametrize("background", [False, True])
def test_what_could_not_be_loaded_is_not_saved(
    tmp_path: Path, value: Any, named: str, background: bool
) -> None:
    state = {"run": STATE, "tracker": {"history": [], "best": {"f1": value}}}
    writer = CheckpointWriter(tmp_path, None, background)
    with pytest.raises(UserError, match=named) as error:
        writer.save(7, state, {})
    assert "\n" not in str(error.value)
    writer.wait()
    assert names(tmp_path) == []


PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.sampled_from([torch.float16, torch.device("cpu"), torch.Size([2, 3])])
)  # fmt: skip


def test_a_state_dict_of_a_module_is_looked_at_and_not_serialised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would take the time of a save, and on a GPU its memory."""
    monkeypatch.setattr(torch, "save", lambda *_: pytest.fail("serialised"))
    weights = torch.nn.Linear(2, 2).state_dict()
    assert isinstance(weights, OrderedDict)
    require_loadable({"ema": weights})
    monkeypatch.undo()
    with pytest.raises(UserError, match="ema.x, which is function"):
        require_loadable({"ema": OrderedDict(x=lambda: None)})
    weights._metadata["x"] = lambda: None  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="ema._metadata.x, which is function"):
        require_loadable({"ema": weights})


def test_short_memory_is_no_fault_of_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(torch.OutOfMemoryError):
        require_loadable({"size": torch.Size([2])})


@settings(deadline=None, max_examples=60)
@given(
    st.recursive(
        PLAIN,
        lambda inner: (
            st.lists(inner)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text() | st.integers(), inner)
            | st.builds(OrderedDict, st.dictionaries(st.text(), inner))
        ),
    )
)
def test_what_is_saved_is_loaded(value: Any) -> None:
    with TemporaryDirectory() as folder:
        path = save_checkpoint(Path(folder), 1, {"value": value}, {})
        assert load_checkpoint(path) == {"value": value}


def test_the_code_of_that_test_would_run(tmp_path: Path) -> None:
    """Otherwise the test above would prove nothing."""
    marker = tmp_path / "code-was-run"
    pickle.loads(pickle.dumps(MakesDirectory(marker)))
    assert marker.is_dir()


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (1, ["step-00000100"]),
        (2, ["step-00000010", "step-00000100"]),
        (3, ["step-00000002", "step-00000010", "step-00000100"]),
        (9, ["step-00000002", "step-00000010", "step-00000100"]),
        (None, ["step-00000002", "step-00000010", "step-00000100"]),
    ],
)
def test_prune_keeps_the_newest(tmp_path: Path, limit: int | None, kept: list[str]) -> None:
    for step in (100, 2, 10):  # not in the order of their times
        save_checkpoint(tmp_path, step, {"step": step}, {})
    prune_checkpoints(tmp_path, limit)
    assert names(tmp_path) == kept


def test_prune_to_0_keeps_none(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, {}, {})
    prune_checkpoints(tmp_path, 0)
    assert list_checkpoints(tmp_path) == []


def test_checkpoints_are_listed_oldest_first_without_unfinished_ones(tmp_path: Path) -> None:
    for step in (30, 4):
        save_checkpoint(tmp_path, step, {}, {})
    with replace_directory(tmp_path / "step-00000050"):
        assert len(names(tmp_path)) == 3
        listed = list_checkpoints(tmp_path)
    assert [path.name for path in listed] == ["step-00000004", "step-00000030"]
    assert list_checkpoints(tmp_path / "absent") == []


def test_what_a_crash_left_is_not_listed_and_not_in_the_way(tmp_path: Path) -> None:
    unfinished = tmp_path / ".step-00000009.tmp"
    unfinished.mkdir()
    (unfinished / "state.pt").write_bytes(b"half")
    assert list_checkpoints(tmp_path) == []
    path = save_checkpoint(tmp_path, 9, STATE, {})
    assert load_checkpoint(path)["global_step"] == 7
    assert names(tmp_path) == ["step-00000009"]


def test_write_json_is_readable_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"old": 1})
    write_json(path, {"이름": [1, 2.5, None]})
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == {"이름": [1, 2.5, None]}
    assert "이름" in text
    assert text.endswith("}\n")
    assert names(tmp_path) == ["metrics.json"]


def test_write_json_keeps_the_old_file_if_the_value_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": object()})
    assert read_json(path) == {"old": 1}
    assert names(tmp_path) == ["metrics.json"]


def test_write_json_keeps_the_old_file_if_the_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"old": 1})
    fail(monkeypatch, "fsync", at_call=1)
    with pytest.raises(OSError, match="no space"):
        write_json(path, {"new": 2})
    assert read_json(path) == {"old": 1}


def fail(monkeypatch: pytest.MonkeyPatch, function: str, at_call: int) -> None:
    """Let one call of a function of `os` raise OSError; all others do their work."""
    original = getattr(os, function)
    calls: list[None] = []

    def wrapped(*arguments: Any) -> Any:
        calls.append(None)
        if len(calls) == at_call:
            raise OSError("no space")
        return original(*arguments)

    monkeypatch.setattr(os, function, wrapped)


def test_replace_directory_replaces_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "parents" / "best"
    for name in ("old", "new"):
        with replace_directory(path) as directory:
            (directory / "deep").mkdir()
            (directory / "deep" / name).write_text(name, encoding="utf-8")
    assert names(path.parent) == ["best"]
    assert names(path / "deep") == ["new"]


def test_replace_directory_again_and_again_where_a_link_was(tmp_path: Path) -> None:
    (tmp_path / "big-disk").mkdir()
    path = tmp_path / "best"
    path.symlink_to(tmp_path / "big-disk", target_is_directory=True)
    for name in ("first", "second"):
        with replace_directory(path) as directory:
            (directory / name).touch()
        assert names(path) == [name]


def test_what_others_still_read_is_removed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On NFS it keeps its folder from being removed, which is no reason to end a run."""
    remove_tree = shutil.rmtree

    def remove_unless_read(path: Path, *rest: Any, **options: Any) -> None:
        if (Path(path) / "read").exists():
            raise OSError(errno.ENOTEMPTY, "Directory not empty", str(path))
        remove_tree(path, *rest, **options)

    path = tmp_path / "best"
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", remove_unless_read)
        for text in ("first", "second", "third"):
            with replace_directory(path) as directory:
                (directory / "read").write_text(text)
            assert (path / "read").read_text() == text
        for step in (1, 2):
            save_checkpoint(tmp_path, step, STATE, {})
        (tmp_path / "step-00000001" / "read").touch()
        prune_checkpoints(tmp_path, 1)
        assert list_checkpoints(tmp_path) == [tmp_path / "step-00000002"]
    with replace_directory(path) as directory:
        (directory / "read").write_text("fourth")
    prune_checkpoints(tmp_path, 1)
    assert names(tmp_path) == ["best", "step-00000002"]


def replace_and_break_off(path: Path, error: type[BaseException]) -> None:
    with replace_directory(path) as directory:
        (directory / "half").touch()
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("had_old", [False, True])
def test_replace_directory_changes_nothing_after_an_exception(
    tmp_path: Path, had_old: bool, error: type[BaseException]
) -> None:
    path = tmp_path / "best"
    if had_old:
        path.mkdir()
        (path / "old").touch()
    with pytest.raises(error):
        replace_and_break_off(path, error)
    assert names(tmp_path) == (["best"] if had_old else [])
    assert not had_old or names(path) == ["old"]


@pytest.mark.parametrize(("function", "at_call"), [("fsync", 1), ("rename", 1), ("rename", 2)])
def test_replace_directory_changes_nothing_if_the_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, at_call: int
) -> None:
    path = tmp_path / "best"
    path.mkdir()
    (path / "old").touch()
    fail(monkeypatch, function, at_call)
    with pytest.raises(OSError, match="no space"), replace_directory(path) as directory:
        (directory / "new").touch()
    assert names(tmp_path) == ["best"]
    assert names(path) == ["old"]


def test_replace_directory_after_a_crash_between_its_two_renames(tmp_path: Path) -> None:
    """The old content is at .best.old then, until a directory has been written whole."""
    (tmp_path / ".best.old").mkdir()
    (tmp_path / ".best.tmp").mkdir()
    (tmp_path / ".best.tmp" / "half").touch()
    with replace_directory(tmp_path / "best") as directory:
        assert names(directory) == []
        assert (tmp_path / ".best.old").is_dir()  # not before there is something better
        (directory / "new").touch()
    assert names(tmp_path) == ["best"]
    assert names(tmp_path / "best") == ["new"]


def test_a_full_disk_names_the_file() -> None:
    """A write tells no name itself; an error without a number would lose its text by one."""
    found = pytest.raises(OSError, match="No space left on device: 'metrics.json'")
    with found, naming(Path("metrics.json")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="'other'"), naming(Path("metrics.json")):
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), "other")
    with pytest.raises(OSError, match="no space"), naming(Path("metrics.json")):
        raise OSError("no space")
