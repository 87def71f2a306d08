"""Each example learns, and ends the same when it is killed and run again."""

from __future__ import annotations

import ast
import os
import shutil
import signal
from pathlib import Path

import pytest
from support.files import read_curves
from support.runs import ROOT, Launcher, Run, as_python, wait_until

from qa.engine import list_checkpoints
from qa.engine.run_differences import run_differences

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MUON = "two_optimizers --steps 75"

# A command, a curve of it, and what the last point of that is at least or at most. The first
# checkpoint comes after 25 steps or, of the digits, 10: in the middle of an epoch.
CASES = (
    ("char_gpt --steps 40", "held-out loss", 0, 2.7),  # the characters' frequencies alone: 3.0
    ("contrastive_stream --steps 40", "held-out found", 0.05, 1),  # chance: 1 / 128
    ("digits --steps 40", "held-out accuracy", 0.6, 1),  # chance: 0.1
    ("token_classification --steps 40", "held-out accuracy", 0.5, 1),  # always the same: 0.39
    (MUON, "fit", 0, 0.05),  # the same distance everywhere, 0.08
    (f"{MUON} --optimizer torch.optim.SGD --rate 0.1", "fit", 0, 0.05),
    (f"{MUON} --optimizer torch.optim.Adafactor --rate 0.02", "fit", 0, 0.05),
    (f"{MUON} --optimizer schedulefree.AdamWScheduleFree", "fit", 0, 0.05),
    (f"{MUON} --optimizer prodigyopt.Prodigy --rate 1", "fit", 0, 0.05),
)


def start(launcher: Launcher, command: str, directory: Path) -> Run:
    """Start an example, in a fork of a process that has its imports done."""
    name, *options = command.split()
    return launcher.start([], as_python([ROOT / "examples" / f"{name}.py", directory, *options]))


def finish(launcher: Launcher, command: str, directory: Path) -> None:
    """Run an example to its end."""
    run = start(launcher, command, directory)
    assert run.wait() == 0, run.stderr


def interrupt(launcher: Launcher, command: str, directory: Path, number: signal.Signals) -> None:
    """Send a signal to an example after its first checkpoint, and see that it ends by it."""
    for _ in range(5):  # on a busy machine it may end by itself before the signal comes
        shutil.rmtree(directory, ignore_errors=True)
        run = start(launcher, command, directory)
        wait_until(lambda: list_checkpoints(directory / "checkpoints"), run)
        os.killpg(run.pid, number)  # its data workers too
        if run.wait():
            break
    assert run.code == (-number if number == signal.SIGKILL else 128 + number)


@pytest.mark.e2e
@pytest.mark.parametrize(("command", "curve", "least", "most"), CASES)
def test_it_learns_and_ends_the_same_after_a_kill(
    command: str, curve: str, least: float, most: float, launcher: Launcher, tmp_path: Path
) -> None:
    for package in ("schedulefree", "prodigyopt"):
        if package in command:
            pytest.importorskip(package)
    finish(launcher, command, tmp_path / "whole")
    assert least <= read_curves(tmp_path / "whole")[curve][-1][1] <= most
    interrupt(launcher, command, tmp_path / "killed", signal.SIGKILL)
    finish(launcher, command, tmp_path / "killed")
    assert not list(run_differences(tmp_path / "whole", tmp_path / "killed"))


@pytest.mark.e2e
def test_it_ends_the_same_after_a_stop_signal_which_saves(
    launcher: Launcher, tmp_path: Path
) -> None:
    finish(launcher, MUON, tmp_path / "whole")
    interrupt(launcher, MUON, tmp_path / "stopped", signal.SIGTERM)
    finish(launcher, MUON, tmp_path / "stopped")
    assert not list(run_differences(tmp_path / "whole", tmp_path / "stopped"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_one_short_file_that_tells_how_to_run_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert sum(bool(line.strip()) for line in text.splitlines()) < 90
    assert f"    python examples/{path.name} runs/" in (ast.get_docstring(ast.parse(text)) or "")


def test_every_example_is_run_here() -> None:
    assert {command.split()[0] for command, *_ in CASES} == {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_its_loss_is_checked_where_items_do_not_depend_on_each_other(path: Path) -> None:
    is_checked = "engine.check_split(run, " in path.read_text(encoding="utf-8")
    assert is_checked == (path.stem != "contrastive_stream")
