"""The trace of a few steps: whole or absent, whatever the length of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.files import as_flags, read_json

import train
from qa.engine.step_trace import StepTrace

pytestmark = pytest.mark.usefixtures("one_thread")


def work(number: int) -> None:
    """Do the work of a step, under a name that shows its number."""
    with torch.profiler.record_function(f"work-{number}"):
        torch.ones(4, 4) @ torch.ones(4, 4)


def steps_in(path: Path) -> set[int]:
    """The steps that a trace holds."""
    events = read_json(path)["traceEvents"]
    names = {str(event.get("name", "")) for event in events}
    return {int(name.removeprefix("work-")) for name in names if name.startswith("work-")}


def trace_steps(path: Path | None, count: int) -> list[bool]:
    trace = StepTrace(path)
    written = []
    for number in range(1, count + 1):
        work(number)
        written.append(trace.step())
    trace.close()
    trace.close()  # a second time does no harm
    return written


def test_steps_3_to_5(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    assert trace_steps(path, 8) == [False] * 4 + [True] + [False] * 3
    assert steps_in(path) == {3, 4, 5}
    assert list(tmp_path.iterdir()) == [path]


def test_file_is_there_with_the_fifth_step(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    trace = StepTrace(path)
    for number in range(1, 6):
        assert not path.exists()
        work(number)
        trace.step()
    assert path.exists()


@pytest.mark.parametrize(("count", "expected"), [(0, ()), (1, ()), (2, ()), (3, (3,)), (4, (3, 4))])
def test_shorter_run(count: int, expected: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    assert trace_steps(path, count) == [False] * count
    if path.exists():
        assert steps_in(path) == set(expected)
    else:
        assert expected == ()
    assert list(tmp_path.iterdir()) in ([], [path])


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    trace = StepTrace(tmp_path / "new" / "trace.json")
    while not trace.step():
        pass
    assert (tmp_path / "new" / "trace.json").is_file()


def test_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert trace_steps(None, 6) == [False] * 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("profile", [True, False])
def test_profile_flag(
    profile: bool,
    encoder_dir: Path,
    squad_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[Any],
) -> None:
    values = {
        "model": encoder_dir,
        "train-data": squad_file,
        "max-seq-length": 32,
        "window-overlap": 6,
        "max-question-length": 16,
        "per-device-train-batch-size": 2,
        "max-steps": 6,
        "precision": "fp32",
        "device": "cpu",
        "output-dir": tmp_path / "run",
    }
    assert train.main([*as_flags(values), *["--profile"] * profile]) == 0
    path = tmp_path / "run" / "trace.json"
    assert path.exists() == profile
    assert (str(path) in capsys.readouterr().out) == profile
    if profile:
        events = read_json(path)["traceEvents"]
        assert any("addmm" in str(event.get("name")) for event in events)
