"""Killing a script at random moments: what is taken for the same run, and how faults are named."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.runs import Launcher, forking

from qa.engine.errors import RunStopped, UserError
from qa.engine.program import Program
from qa.engine.verify_resume import main, verify

# Nothing but Python, so that it starts in no time: it adds up numbers, saving every second sum.
ADDING = """
import json, pathlib, sys, time
out = pathlib.Path(sys.argv[1])
found = sorted(out.glob("step-*/checkpoint.json"))
step, total = json.loads(found[-1].read_text()) if found else (0, 0)
(out / "log").write_text("begun")
while step < 12:
    time.sleep(0.02)
    step += 1
    total += step
    if step % 2 == 0:
        folder = out / f"step-{step:08d}"
        folder.mkdir(exist_ok=True)
        (folder / "new").write_text(json.dumps([step, total]))
        (folder / "new").replace(folder / "checkpoint.json")
"""


def written(first: Path, second: Path) -> Iterator[str]:
    """Differences of two runs of `ADDING`."""
    for file in sorted(first.glob("step-*/checkpoint.json")):
        texts = [(each / file.relative_to(first)).read_text() for each in (first, second)]
        if texts[0] != texts[1]:
            yield f"{texts[0]} and {texts[1]}"


def prove(script: str, tmp_path: Path, kills: int = 3, **settings: object) -> None:
    def command(directory: Path) -> list[str]:
        return [sys.executable, "-S", "-c", script, str(directory)]

    program = Program(command, **settings)  # type: ignore[arg-type]
    verify(program, tmp_path / "runs", kills, 0, written)


def changed(script: str, old: str, new: str) -> str:
    assert old in script
    return script.replace(old, new)


@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGTERM"])
def test_a_script_that_goes_on_is_the_same(
    signal_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prove(ADDING, tmp_path, signal_name=signal_name)
    lines = capsys.readouterr().out.splitlines()
    kills = [line for line in lines if line.startswith("kill ")]
    assert len(kills) >= 3
    assert lines[-1].startswith(f"SAME: {len(kills)} kills, ")
    assert " 0 resumes" not in lines[-1]


SAVING = """
import signal
def save_and_leave(*_):
    print("told to stop")
    sys.exit(143)
signal.signal(signal.SIGTERM, save_and_leave)
"""
ENDING = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


def test_a_script_that_ends_by_itself_after_a_signal_is_compared(tmp_path: Path) -> None:
    script = ADDING.replace("out =", f"{SAVING}\nout =", 1)
    prove(script, tmp_path, signal_name="SIGTERM")
    script = ADDING.replace("out =", f"import signal\n{ENDING}\nout =", 1)
    with pytest.raises(UserError, match="before a kill can hit it"):
        prove(script, tmp_path / "ignoring", signal_name="SIGTERM")


def test_a_script_that_saves_and_ends_well_when_it_is_told_to_is_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last checkpoint then is of a step that the whole run does not save."""
    noting = "import signal\ntold = []\nsignal.signal(signal.SIGTERM, lambda *_: told.append(1))\n"
    script = changed(ADDING, "out =", f"{noting}out =")
    script = changed(script, "if step % 2 == 0:", "if step % 2 == 0 or told:")
    prove(f"{script}    if told: break\n", tmp_path, signal_name="SIGTERM")
    assert " 0 resumes" not in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("if found else", "if False else", r"starts anew .* step-0000000\d was written though"),
        ("else (0, 0)", "else (0, 0)\ntotal = 0 if found else total", r"DIFFERENT: \[\d+, \d+\]"),
        ("if found else (0, 0)", "if not found else 1 / 0", "it fails when it is run again"),
        ("total += step", "total += time.time_ns()", "NOT DETERMINISTIC: two uninterrupted runs"),
    ],
)
def test_a_fault_is_named(old: str, new: str, expected: str, tmp_path: Path) -> None:
    script = changed(ADDING, old, new)
    if "1 / 0" in new:
        script = changed(
            script, "json.loads(found[-1].read_text()) if not found", "(0, 0) if not found"
        )
    with pytest.raises(RunStopped, match=expected) as stopped:
        prove(script, tmp_path)
    assert stopped.value.exit_code == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "while step",
            "print('no luck')\nsys.exit(3)\nwhile step",
            "code 3; its last lines:\nno l",
        ),
        ("if step % 2 == 0:", "if False:", "it writes no checkpoint"),
        ("if step % 2 == 0:", "if step == 12:", "after none of 9 kills did it go on"),
        ("while step", "time.sleep(9)\nwhile step", "no end after 1 seconds"),
    ],
)
def test_what_proves_nothing(old: str, new: str, expected: str, tmp_path: Path) -> None:
    script = changed(ADDING, old, new)
    with pytest.raises(UserError, match=expected):
        prove(script, tmp_path, timeout=1)


def test_no_kill_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 1, not 0"):
        prove(ADDING, tmp_path, kills=0)


@pytest.mark.parametrize(
    ("script", "argument", "expected"),
    [
        ("import sys; sys.exit('a reason')", "{out}", "exit code 1; its last lines:\na reason\n"),
        ("", "runs/mine", "write {out} where the script takes the directory"),
        ("", "{out}/x", "it writes no checkpoint"),
        (None, "{out}", "there is no such script"),
    ],
)
def test_mistakes_are_told_and_nothing_is_left(
    script: str | None,
    argument: str,
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / "script.py"
    if script is not None:
        path.write_text(script, encoding="utf-8")
    assert main([str(path), argument, "--steps", "3"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert expected in error
    assert [each for each in tmp_path.iterdir() if each != path] == []


# With the engine

TRAINING = """
import sys, time
from pathlib import Path
import numpy as np
import torch
from torch import nn
from qa import engine
from qa.engine.curve_lines import CurveLines

class Counting(torch.optim.SGD):  # keeps a counter in its group, as schedule-free optimizers do
    def step(self, closure=None):
        group = self.param_groups[0]
        group["k"] = group.get("k", 0) + 1
        for p in group["params"]:
            p.data.sub_(p.grad, alpha=group["lr"] / group["k"])

class Items:
    def __getitem__(self, key):
        return DATA[key] + self.noise(key)
    def noise(self, key):
        return 0.1 * torch.randn(3, generator=torch.Generator().manual_seed(key))

def order(epoch):
    return engine.length_grouped_batches(np.ones(40), 4, seed=1, epoch=epoch)

def collate(items):
    return {"x": torch.stack(items), "num_items": len(items)}

def loss_fn(model, batch):
    return (model(batch["x"][:, :2]).squeeze(-1) - batch["x"][:, 2]).square().sum()

torch.set_num_threads(1)
out = Path(sys.argv[1])
engine.seed_everything(1)
DATA = torch.randn(40, 3)
model = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.3), nn.Linear(8, 1))
config = engine.TrainConfig(max_steps=12, device="cpu", precision="fp32", num_workers=0)
run = engine.TrainingRun(
    model, loss_fn, Items(), order, collate, config,
    optimizer=lambda model: Counting(model.parameters(), lr=0.1),
)
if found := engine.list_checkpoints(out):
    state = engine.load_checkpoint(found[-1])
    run.load_state_dict(state)
lines = CurveLines(out / "curves.jsonl", run.global_step)
for step in run.steps():
    lines.write({"loss": float(step.loss), "speed/now": time.time()}, step.global_step)
    if step.global_step == 9:
        time.sleep(0.5)  # nearly all the time passes here, so kills come here
    if step.is_due(4):
        engine.save_checkpoint(out, step.global_step, run.state_dict(), {})
"""


@pytest.fixture
def _forks(launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts are forks of a process that has imported torch, and all stays below `tmp_path`."""
    monkeypatch.setattr("qa.engine.program.subprocess", forking(launcher))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def prove_training(script: str, tmp_path: Path) -> int:
    path = tmp_path / "script.py"
    path.write_text(script, encoding="utf-8")
    return main(["--kills", "1", str(path), "{out}"])


@pytest.mark.e2e
@pytest.mark.usefixtures("_forks")
def test_an_honest_training_is_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prove_training(TRAINING, tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("SAME: ")
    assert [each.name for each in tmp_path.iterdir()] == ["script.py"]


@pytest.mark.e2e
@pytest.mark.usefixtures("_forks")
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "    run.load_state_dict(state)",
            "    state['optimizer']['param_groups'][0].pop('k')\n    run.load_state_dict(state)",
            r"DIFFERENT: step-000000\d\d/optimizer/param_groups\[0\]/k: \d+ and \d+\n",
        ),
        (
            "generator=torch.Generator().manual_seed(key))",
            "generator=GENERATOR)\nGENERATOR = torch.Generator().manual_seed(3)",
            r"DIFFERENT: tensor step-000000\d\d/model/0.weight: \d+ of 16 values differ, by up to"
            r"[^/]*/(.*\n)*curve curves.jsonl: loss at step \d+: (.*\n)*no counter and no saved",
        ),
        (
            'CurveLines(out / "curves.jsonl", run.global_step)',
            'CurveLines(out / "curves.jsonl", 99)',
            r"DIFFERENT: curve curves.jsonl: loss at step \d+: (\S+) and \1, \1\nonly curves",
        ),
        (
            "    run.load_state_dict(state)",
            "    run.load_state_dict(state)\n    torch.rand(1)",
            r"DIFFERENT: tensor step-000000\d\d/\S+: (.*\n)*random generators differ",
        ),
    ],
)
def test_a_fault_of_a_training_is_named(
    old: str,
    new: str,
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = changed(TRAINING, old, new)
    if "GENERATOR" in new:
        script = changed(script, "num_workers=0", "num_workers=1")
    assert prove_training(script, tmp_path) == 1
    out = capsys.readouterr().out
    assert re.search(expected, out), out
