"""Writing checkpoints while training goes on, and finding the newest whole one afterwards."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.files import MakesDirectory, read_json

from qa.engine import UserError, list_checkpoints, load_checkpoint, save_checkpoint
from qa.engine.checkpoint import load_newest_checkpoint, prune_checkpoints
from qa.engine.checkpoint_writer import CheckpointWriter, to_host

pytestmark = pytest.mark.usefixtures("one_thread")


def steps(directory: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in list_checkpoints(directory)]


# Writing


@pytest.mark.parametrize("background", [False, True])
def test_what_is_saved_is_what_there_was_when_save_was_called(
    background: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread starts writing only after everything was changed."""
    changed = threading.Event()

    def save_late(*arguments: Any) -> Path:
        assert not background or changed.wait(10)
        return save_checkpoint(*arguments)

    monkeypatch.setattr("qa.engine.checkpoint_writer.save_checkpoint", save_late)
    weight = torch.arange(6.0)
    state: dict[str, Any] = {
        "weights": {"w": weight, "view": weight[2:4]},
        "history": [{"step": 1}],
        "n": 1,
    }
    writer = CheckpointWriter(tmp_path, None, background)
    writer.save(3, state, {"epoch": 0.5})
    weight.add_(1)
    state["history"].append({"step": 2})
    state["history"][0]["step"] = 9
    state["n"] = 2
    changed.set()
    writer.wait()
    loaded = load_checkpoint(tmp_path / "step-00000003")
    assert loaded["weights"]["w"].tolist() == [0, 1, 2, 3, 4, 5]
    assert loaded["weights"]["view"].tolist() == [2, 3]
    assert (loaded["history"], loaded["n"]) == ([{"step": 1}], 1)


def test_saving_in_the_background_does_not_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, is_writing = threading.Event(), threading.Event()

    def save_when_told(*arguments: Any) -> Path:
        is_writing.set()
        assert may_write.wait(10)
        return save_checkpoint(*arguments)

    monkeypatch.setattr("qa.engine.checkpoint_writer.save_checkpoint", save_when_told)
    writer = CheckpointWriter(tmp_path, None, background=True)
    writer.save(1, {}, {})
    assert is_writing.wait(10)
    writer.check()
    assert steps(tmp_path) == []
    may_write.set()
    writer.wait()
    assert steps(tmp_path) == [1]


def test_saves_in_the_background_do_not_overtake_each_other(tmp_path: Path) -> None:
    threads = threading.active_count()
    writer = CheckpointWriter(tmp_path, 2, background=True)
    for step in range(1, 6):
        writer.save(step, {"weights": torch.full((1000,), float(step))}, {})
    writer.wait()
    assert steps(tmp_path) == [4, 5]
    for step in (4, 5):
        weights = load_checkpoint(tmp_path / f"step-{step:08d}")["weights"]
        assert bool((weights == step).all())
    assert threading.active_count() == threads


@pytest.mark.parametrize("by", ["check", "wait", "save"])
def test_a_failure_in_the_background_is_raised_once(by: str, tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    writer = CheckpointWriter(directory, 2, background=True)
    writer.save(1, {"n": 1}, {})
    writer.wait()
    moved = directory.rename(tmp_path / "moved")
    directory.write_text("in the way")
    before = set(threading.enumerate())
    writer.save(2, {"n": 2}, {})  # the failure is not known yet, or shows in the next call
    for thread in set(threading.enumerate()) - before:
        thread.join()
    call: Callable[[], None] = {
        "check": writer.check,
        "wait": writer.wait,
        "save": lambda: writer.save(3, {"n": 3}, {}),
    }[by]
    with pytest.raises(OSError, match="checkpoints"):
        call()
    writer.check()
    writer.wait()
    assert directory.read_text() == "in the way"
    assert load_checkpoint(moved / "step-00000001") == {"n": 1}
    directory.unlink()
    directory.mkdir()
    writer.save(4, {"n": 4}, {})
    writer.wait()
    assert load_checkpoint(directory / "step-00000004") == {"n": 4}


def test_a_failure_in_the_foreground_is_raised_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    writer = CheckpointWriter(directory, 2)
    if directory.is_dir():
        directory.rmdir()
    directory.write_text("in the way")
    with pytest.raises(OSError, match="checkpoints"):
        writer.save(1, {}, {})
    writer.check()


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize(
    ("limit", "keep", "expected"),
    [
        (1, (), [5]),
        (1, (2,), [2, 5]),
        (2, (2,), [2, 4, 5]),
        (2, (5,), [4, 5]),
        (1, (9,), [5]),  # of a step without a checkpoint
        (None, (2,), [1, 2, 3, 4, 5]),
    ],
)
def test_which_checkpoints_are_kept(
    limit: int | None, keep: tuple[int, ...], expected: list[int], background: bool, tmp_path: Path
) -> None:
    writer = CheckpointWriter(tmp_path, limit, background)
    for step in range(1, 6):
        writer.save(step, {}, {}, keep_steps=tuple(k for k in keep if k <= step or k > 5))
    writer.wait()
    assert steps(tmp_path) == expected


def test_a_new_checkpoint_survives_newer_ones_that_were_damaged(tmp_path: Path) -> None:
    """A run resumed from step 4, since 6 and 8 were damaged, saves step 5 with a limit of 1."""
    for step in (4, 6, 8):
        save_checkpoint(tmp_path, step, {"step": step}, {})
    for step in (6, 8):
        (tmp_path / f"step-{step:08d}" / "state.pt").write_bytes(b"")
    CheckpointWriter(tmp_path, 1).save(5, {"step": 5}, {})
    _, state = load_newest_checkpoint(tmp_path, report=lambda line: None)
    assert state == {"step": 5}


def test_a_half_written_checkpoint_of_a_killed_run_is_cleared_away(tmp_path: Path) -> None:
    """Whatever its step, since no later save may ever come to that step again."""
    half = tmp_path / ".step-00000003.tmp"
    half.mkdir()
    (half / "state.pt").write_bytes(b"half")
    CheckpointWriter(tmp_path, 2).save(4, {}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000004"]


def test_to_host_copies_tensors_and_containers_and_nothing_else() -> None:
    shared = torch.arange(4.0, requires_grad=True)
    value = {"a": [shared, (shared, 1)], 3: {"text": "가", "none": None}, "b": torch.ones(2).half()}
    copy = to_host(value)
    assert copy[3] == value[3]
    assert copy["a"][1][1] == 1
    assert type(copy["a"][1]) is tuple
    for tensor in (copy["a"][0], copy["a"][1][0]):
        assert torch.equal(tensor, shared.detach())
        assert tensor.data_ptr() != shared.data_ptr()
        assert not tensor.requires_grad
    assert copy["b"].dtype == torch.float16
    assert copy["a"] is not value["a"]
    assert copy[3] is not value[3]


def test_to_host_keeps_what_a_module_s_state_tells_of_its_parts() -> None:
    state = torch.nn.BatchNorm1d(2).state_dict()
    assert to_host(state)._metadata == state._metadata  # type: ignore[attr-defined]
    assert to_host(Counter(a=2)) == Counter(a=2)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_would_keep_nothing_is_refused(limit: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"limit must be at least 1 or None, not {limit}"):
        CheckpointWriter(tmp_path, limit)
    save_checkpoint(tmp_path, 1, {}, {})
    with pytest.raises(UserError, match="limit must be at least 0 or None, not -1"):
        prune_checkpoints(tmp_path, -1)
    assert len(list_checkpoints(tmp_path)) == 1


# Loading: 20 kinds of damage and more


MARKER = "code-was-run"
GOOD: dict[str, Any] = {"weights": torch.arange(300.0), "global_step": 5, "names": ["가", "나"]}
BAD: dict[str, Any] = {"weights": torch.arange(300.0) * 2, "global_step": 9, "names": ["다"]}


def cut_at(share: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = (path / "state.pt").read_bytes()
        (path / "state.pt").write_bytes(content[: int(len(content) * share)])

    return damage


def flip_at(share: float, bit: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray((path / "state.pt").read_bytes())
        content[min(int(len(content) * share), len(content) - 1)] ^= 1 << bit
        (path / "state.pt").write_bytes(content)

    return damage


def append_a_byte(path: Path) -> None:
    with (path / "state.pt").open("ab") as file:
        file.write(b"\0")


def lose(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


def swap(name: str) -> Callable[[Path], None]:
    """Exchange a file with that of an older checkpoint, which is damaged by this as well."""

    def damage(path: Path) -> None:
        other = path.parent / "step-00000007"
        shutil.copy(path / name, path / "kept")
        shutil.copy(other / name, path / name)
        shutil.move(path / "kept", other / name)

    return damage


def copy_from_older(path: Path) -> None:
    shutil.copy(path.parent / "step-00000005" / "state.pt", path / "state.pt")


def summary_is(content: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        (path / "checkpoint.json").write_bytes(content)

    return damage


def edit_manifest(name: str, value: Any) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        summary = read_json(path / "checkpoint.json")
        summary["files"]["state.pt"][name] = value
        (path / "checkpoint.json").write_text(json.dumps(summary), encoding="utf-8")

    return damage


def state_is(make: Callable[[Path], bytes]) -> Callable[[Path], None]:
    """Write another state, with a manifest that fits it."""

    def damage(path: Path) -> None:
        content = make(path)
        (path / "state.pt").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        edit_manifest("size", len(content))(path)
        edit_manifest("sha256", sha256)(path)

    return damage


def saved_by_torch(value: Any) -> Callable[[Path], bytes]:
    def make(path: Path) -> bytes:
        torch.save(value(path), path / "other")
        return (path / "other").read_bytes()

    return make


def code(path: Path) -> MakesDirectory:
    """An object whose unpickling leaves a marker beside the checkpoint."""
    return MakesDirectory(path.parent / MARKER)


def zip_without_the_pickle(path: Path) -> bytes:
    import zipfile

    with zipfile.ZipFile(path / "state.pt") as old, zipfile.ZipFile(path / "other", "w") as new:
        for name in old.namelist():
            if not name.endswith("data.pkl"):
                new.writestr(name, old.read(name))
    return (path / "other").read_bytes()


def zip_without_the_tensors(path: Path) -> bytes:
    import zipfile

    with zipfile.ZipFile(path / "state.pt") as old, zipfile.ZipFile(path / "other", "w") as new:
        for name in old.namelist():
            if "/data/" not in name:
                new.writestr(name, old.read(name))
    return (path / "other").read_bytes()


def empty_the_folder(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()


def folder_in_place_of_the_state(path: Path) -> None:
    (path / "state.pt").unlink()
    (path / "state.pt").mkdir()


def link_to_nowhere(path: Path) -> None:
    (path / "state.pt").unlink()
    (path / "state.pt").symlink_to(path / "absent")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "state empty": cut_at(0),
    "state cut in its first bytes": cut_at(0.01),
    "state cut in the middle": cut_at(0.5),
    "state cut near its end": cut_at(0.99),
    "state one byte longer": append_a_byte,
    "first byte flipped": flip_at(0, 0),
    "bit flipped in the pickle": flip_at(0.1, 3),
    "bit flipped in the tensors": flip_at(0.5, 7),
    "last byte flipped": flip_at(1, 1),
    "state missing": lose("state.pt"),
    "summary missing": lose("checkpoint.json"),
    "state is a folder": folder_in_place_of_the_state,
    "state is a link to nowhere": link_to_nowhere,
    "state of an older checkpoint": copy_from_older,
    "summary empty": summary_is(b""),
    "summary cut": summary_is(b'{"step": 9, "files": {"sta'),
    "summary not UTF-8": summary_is(b'{"step": "\xff\xfe"}'),
    "summary zeros": summary_is(bytes(512)),
    "summary a list": summary_is(b"[1, 2]"),
    "summary a number": summary_is(b"7"),
    "summary a text": summary_is(b'"files"'),
    "summary without files": summary_is(b'{"step": 9}'),
    "summary with files as a list": summary_is(b'{"files": ["state.pt"]}'),
    "summary nested too deeply": summary_is(b"[" * 100_000),
    "summary with a number too long": summary_is(b'{"step": ' + b"9" * 5000 + b"}"),
    "size edited": edit_manifest("size", 1),
    "sha256 edited": edit_manifest("sha256", "0" * 64),
    "sha256 no text": edit_manifest("sha256", None),
    "code in a state of torch": state_is(saved_by_torch(lambda p: {"w": code(p)})),
    "code in a bare pickle": state_is(lambda p: pickle.dumps(code(p), 2)),
    "code in a pickle of today": state_is(lambda p: pickle.dumps({"w": code(p)})),
    "a list for a state": state_is(saved_by_torch(lambda p: [1, 2])),
    "a tensor for a state": state_is(saved_by_torch(lambda p: torch.ones(2))),
    "garbage with its true manifest": state_is(lambda p: b"garbage" * 99),
    "nothing with its true manifest": state_is(lambda p: b""),
    "zeros with their true manifest": state_is(lambda p: bytes(4096)),
    "zip without its pickle": state_is(zip_without_the_pickle),
    "zip without its tensors": state_is(zip_without_the_tensors),
    "text with its true manifest": state_is(lambda p: b"step 9\n"),
    "folder empty": empty_the_folder,
}


def make_checkpoints(directory: Path) -> Path:
    """Save whole checkpoints of the steps 5 and 9; return the newer one."""
    save_checkpoint(directory, 5, GOOD, {"epoch": 0.5})
    return save_checkpoint(directory, 9, BAD, {"epoch": 1})


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(
    kind: str, tmp_path: Path
) -> None:
    newest = make_checkpoints(tmp_path)
    DAMAGES[kind](newest)
    reported: list[str] = []
    path, state = load_newest_checkpoint(tmp_path, reported.append)
    assert not (tmp_path / MARKER).exists()
    assert path == tmp_path / "step-00000005"
    assert state.keys() == GOOD.keys()
    assert torch.equal(state["weights"], GOOD["weights"])
    (report,) = reported
    assert str(newest) in report
    assert len(report.splitlines()) == 1


def test_there_are_at_least_20_kinds_of_damage_and_the_undamaged_one_is_used(
    tmp_path: Path,
) -> None:
    """Otherwise the test above would prove little."""
    assert len(DAMAGES) >= 20
    newest = make_checkpoints(tmp_path)
    path, state = load_newest_checkpoint(tmp_path, report=lambda line: pytest.fail(line))
    assert path == newest
    assert torch.equal(state["weights"], BAD["weights"])


def test_the_code_of_these_tests_would_run(tmp_path: Path) -> None:
    """Otherwise the tests with code would prove nothing."""
    torch.save({"w": MakesDirectory(tmp_path / MARKER)}, tmp_path / "file")
    torch.load(tmp_path / "file", weights_only=False)
    assert (tmp_path / MARKER).is_dir()


@pytest.mark.parametrize("name", ["state.pt", "checkpoint.json"])
def test_files_swapped_between_two_checkpoints(name: str, tmp_path: Path) -> None:
    """Both are damaged then; the third one, which is older, is used."""
    newest = make_checkpoints(tmp_path)
    save_checkpoint(tmp_path, 7, {"global_step": 7}, {"epoch": 0.7})
    swap(name)(newest)
    reported: list[str] = []
    path, _ = load_newest_checkpoint(tmp_path, reported.append)
    assert path.name == "step-00000005"
    assert ["step-00000009" in line for line in reported] == [True, False]
    assert "step-00000007" in reported[1]


def test_a_file_in_the_place_of_a_checkpoint(tmp_path: Path) -> None:
    newest = make_checkpoints(tmp_path)
    shutil.rmtree(newest)
    newest.write_text("no folder")
    path, _ = load_newest_checkpoint(tmp_path, report=lambda line: None)
    assert path.name == "step-00000005"
    assert newest.read_text() == "no folder"


def test_folders_with_similar_names_are_no_checkpoints(tmp_path: Path) -> None:
    """A killed run or a person may leave such folders."""
    newest = make_checkpoints(tmp_path)
    for name in (".step-00000011.tmp", ".step-00000012.removed", "step-00000013-backup"):
        shutil.copytree(newest, tmp_path / name)
    path, _ = load_newest_checkpoint(tmp_path, report=lambda line: pytest.fail(line))
    assert path == newest


def test_a_checkpoint_whose_replacement_was_cut_short_is_restored(tmp_path: Path) -> None:
    """Killed between the two renames of a second save of the same step."""
    newest = make_checkpoints(tmp_path)
    newest.rename(tmp_path / f".{newest.name}.old")
    path, _ = load_newest_checkpoint(tmp_path, report=lambda line: pytest.fail(line))
    assert path == newest


def test_all_damaged(tmp_path: Path) -> None:
    make_checkpoints(tmp_path)
    for path in list_checkpoints(tmp_path):
        cut_at(0.5)(path)
    reported: list[str] = []
    with pytest.raises(UserError, match="none of the 2 checkpoints is whole") as error:
        load_newest_checkpoint(tmp_path, reported.append)
    assert str(tmp_path) in str(error.value)
    assert len(reported) == 2


def test_none_at_all(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match="no checkpoint to resume from"):
            load_newest_checkpoint(directory, report=lambda line: None)


def test_a_checkpoint_renamed_to_another_step_is_still_the_step_it_holds(tmp_path: Path) -> None:
    """The folder's name says 20, the manifest 9: a person's rename must not make it step 20."""
    newest = make_checkpoints(tmp_path)
    newest.rename(tmp_path / "step-00000020")
    reported: list[str] = []
    path, state = load_newest_checkpoint(tmp_path, reported.append)
    assert state["global_step"] in (5, 9)
    assert (path.name == "step-00000020") == (reported == [])
