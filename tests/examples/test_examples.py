"""Each example learns, and ends the same when it is killed and run again."""

from __future__ import annotations

import ast
import os
import shutil
import signal
from pathlib import Path

import pytest
from support.files import read_curves
from support.runs import ROOT, Launcher, Run, wait_until

from qa.cli.run_differences import differences
from qa.engine import list_checkpoints

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
STEPS = 50  # the first checkpoint comes after 25 steps or, of the digits, 16

# An example, its arguments, a curve of it, and what the last point of that is at least or at most.
CASES = (
    ("char_gpt", "", "held-out loss", 0, 2.7),  # the frequencies of the characters alone give 3.0
    ("contrastive_stream", "", "held-out found", 0.05, 1),  # chance gives 1 / 256
    ("digits", "", "held-out accuracy", 0.6, 1),  # chance: 0.1
    ("token_classification", "", "held-out accuracy", 0.62, 1),  # always the same kind: 0.53
    ("two_optimizers", "", "fit", 0, 0.04),  # the mean distance alone, with the noise: 0.08
    ("two_optimizers", "--optimizer torch.optim.SGD --rate 0.1", "fit", 0, 0.04),
    ("two_optimizers", "--optimizer torch.optim.Adafactor --rate 0.02", "fit", 0, 0.04),
    ("two_optimizers", "--optimizer schedulefree.AdamWScheduleFree", "fit", 0, 0.04),
    ("two_optimizers", "--optimizer prodigyopt.Prodigy --rate 1", "fit", 0, 0.04),
)


def start(launcher: Launcher, name: str, arguments: str, directory: Path) -> Run:
    """Start an example, in a fork of a process that has its imports done."""
    path = str(ROOT / "examples" / f"{name}.py")
    words = [path, str(directory), "--steps", str(STEPS), *arguments.split()]
    lines = (
        "import runpy, sys",
        f"sys.argv = {words!r}",
        f"runpy.run_path({path!r}, run_name='__main__')",
        "sys.exit()",
    )
    return launcher.start([], "\n".join(lines))


def finish(launcher: Launcher, name: str, arguments: str, directory: Path) -> None:
    """Run an example to its end."""
    run = start(launcher, name, arguments, directory)
    assert run.wait() == 0, run.stderr
    assert list_checkpoints(directory / "checkpoints")[-1].name == f"step-{STEPS:08d}"


def interrupt(
    launcher: Launcher, name: str, arguments: str, directory: Path, number: signal.Signals
) -> int:
    """Send a signal to an example after its first checkpoint; return the exit code."""
    for _ in range(5):  # on a busy machine it may end before the signal comes
        shutil.rmtree(directory, ignore_errors=True)
        run = start(launcher, name, arguments, directory)
        wait_until(lambda: list_checkpoints(directory / "checkpoints"), run)
        os.killpg(run.pid, number)  # its data workers too
        if run.wait():
            break
    assert run.code is not None
    return run.code


@pytest.mark.e2e
@pytest.mark.parametrize(("name", "arguments", "curve", "least", "most"), CASES)
def test_it_learns_and_ends_the_same_after_a_kill(
    name: str,
    arguments: str,
    curve: str,
    least: float,
    most: float,
    launcher: Launcher,
    tmp_path: Path,
) -> None:
    if arguments:
        pytest.importorskip(arguments.split()[1].partition(".")[0])
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(launcher, name, arguments, whole)
    assert least <= read_curves(whole)[curve][-1][1] <= most
    assert interrupt(launcher, name, arguments, killed, signal.SIGKILL) == -signal.SIGKILL
    finish(launcher, name, arguments, killed)
    assert not list(differences(whole, killed))


@pytest.mark.e2e
def test_a_stop_signal_saves_the_step_and_the_run_ends_the_same(
    launcher: Launcher, tmp_path: Path
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    finish(launcher, "two_optimizers", "", whole)
    code = interrupt(launcher, "two_optimizers", "", stopped, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert list_checkpoints(stopped / "checkpoints")[-1].name > "step-00000025"
    finish(launcher, "two_optimizers", "", stopped)
    assert not list(differences(whole, stopped))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_one_short_file_that_tells_how_to_run_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert sum(bool(line.strip()) for line in text.splitlines()) < 90
    assert f"    python examples/{path.name} runs/" in (ast.get_docstring(ast.parse(text)) or "")


def test_every_example_is_run_here() -> None:
    assert {name for name, *_ in CASES} == {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_its_loss_is_checked_where_items_do_not_depend_on_each_other(path: Path) -> None:
    is_checked = "engine.check_split(run, " in path.read_text(encoding="utf-8")
    assert is_checked == (path.stem != "contrastive_stream")
