"""train.py stopped in every way: nothing is lost, and a resumed run is the same run."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.files import Curves, as_flags, read_curve_lines, read_curves, read_json, write_squad
from support.runs import ROOT, Launcher, Run, as_rank, environment, free_port, wait_until

from qa.engine.checkpoint import list_checkpoints, load_checkpoint
from qa.models.part_files import HEADS

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("one_thread")]

# In a prelude: hook(session, step) is called after each step, before the session looks at it.
HOOK = """
import os, shutil, signal, time
from pathlib import Path
from qa.training.session import Session
record = Session.record
def record_with_hook(session, out):
    hook(session, out.global_step)
    record(session, out)
Session.record = record_with_hook
"""


@pytest.fixture(scope="module")
def flags(encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """12 steps of 3 micro-batches, 2 in the last of an epoch; dropout as in BertConfig: 0.1.

    Logging, evaluating and saving happen at different intervals.
    """
    values = {
        "model": encoder_dir,
        "train-data": write_squad(tmp_path_factory.mktemp("data") / "squad.json"),
        "holdout": 0.33,
        "max-seq-length": 32,
        "window-overlap": 6,
        "max-question-length": 16,
        "max-answer-length": 8,
        "negative-window-ratio": 0.5,
        "per-device-train-batch-size": 2,
        "gradient-accumulation-steps": 3,
        "max-steps": 12,
        "num-train-epochs": 99,
        "learning-rate": 0.003,
        "logging-steps": 4,
        "eval-steps": 3,
        "save-steps": 2,
        "save-total-limit": 2,
        "metric-for-best-model": "eval_loss",
        "precision": "fp32",
        "device": "cpu",
    }
    return as_flags(values)


@pytest.fixture(scope="module")
def whole(launcher: Launcher, flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output directory of an uninterrupted run; not to be changed."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    run = launcher.run([*flags, "--output-dir", str(directory)])
    assert run.code == 0, run.stderr
    assert run.error_lines == []
    return directory


def curves(directory: Path) -> Curves:
    """Every curve except the speeds, which no two runs share."""
    found = read_curves(directory)
    assert read_curve_lines(directory) == found
    return {tag: points for tag, points in found.items() if not tag.startswith("speed/")}


def assert_same(value: Any, other: Any, where: str) -> None:
    """Assert that two states are the same to the last bit."""
    assert isinstance(value, dict) or type(value) is type(other), where
    if isinstance(value, torch.Tensor):
        assert value.dtype == other.dtype, where
        assert torch.equal(value, other), where
    elif isinstance(value, dict):
        assert list(value) == list(other), where
        for key in value:
            assert_same(value[key], other[key], f"{where}/{key}")
    elif isinstance(value, (list, tuple)):
        assert len(value) == len(other), where
        for index, (item, other_item) in enumerate(zip(value, other, strict=True)):
            assert_same(item, other_item, f"{where}/{index}")
    else:
        assert value == other, where


def assert_same_run(directory: Path, other: Path) -> None:
    """Assert that models, evaluations, answers, curves and the last state are the same bits."""
    names = [f"best/{name}" for name in ("model.safetensors", *HEADS.values())]
    for name in (*names, "null_odds.json", "predictions.json", "nbest_predictions.json"):
        assert (directory / name).read_bytes() == (other / name).read_bytes(), name
    assert read_json(directory / "metrics.json") == read_json(other / "metrics.json")
    assert curves(directory) == curves(other)
    last, other_last = (list_checkpoints(run / "checkpoints")[-1] for run in (directory, other))
    assert last.name == other_last.name
    assert_same(load_checkpoint(last), load_checkpoint(other_last), "state")


def only(lines: list[str]) -> str:
    """Return the only line, after asserting that there is no other."""
    assert len(lines) == 1, "\n".join(lines)
    return lines[0]


def leftovers(directory: Path) -> list[str]:
    """Files and folders under temporary names."""
    paths = directory.rglob(".*")
    return sorted(str(p.relative_to(directory)) for p in paths if p.name != ".lock")


def resume(launcher: Launcher, directory: Path, *extra: str) -> Run:
    """Resume a run and wait for its end, which must be a good one."""
    run = launcher.run(["--resume", "--output-dir", str(directory), *extra])
    assert run.code == 0, run.stderr
    assert run.error_lines == []
    return run


def test_the_whole_run_is_what_the_others_are_compared_with(whole: Path) -> None:
    """Every curve has its points, so that comparing with it can find a missing one."""
    found = {tag: [step for step, _ in points] for tag, points in curves(whole).items()}
    training = {tag: steps for tag, steps in found.items() if tag.startswith("train/")}
    assert set(map(tuple, training.values())) == {(4, 8, 12)}
    assert {"train/loss", "train/grad_norm", "train/skipped_steps"} <= training.keys()
    evaluation = {tag: steps for tag, steps in found.items() if tag.startswith("eval/")}
    assert set(map(tuple, evaluation.values())) == {(3, 6, 9, 12)}
    assert {"eval/loss", "eval/korquad1_f1"} <= evaluation.keys()
    best = read_json(whole / "metrics.json")["best"]["step"]
    names = {path.name for path in list_checkpoints(whole / "checkpoints")}
    due = {10, 12} | ({best} if best % 2 == 0 else set())
    assert names == {f"step-{step:08d}" for step in due}
    assert leftovers(whole) == []


# Signals


@pytest.mark.parametrize(
    ("name", "workers"), [("SIGTERM", 2), ("SIGINT", 1), ("SIGUSR1", 0), ("SIGHUP", 1)]
)
def test_a_signal_ends_the_run_after_its_step(
    name: str, workers: int, launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """Sent to the whole process group, data workers included, as Slurm and Ctrl-C do."""
    directory, reached = tmp_path / "run", tmp_path / "reached"
    number = getattr(signal, name)
    prelude = (
        HOOK
        + f"""
def hook(session, step):
    if step == 5:
        Path({str(reached)!r}).touch()
        while session.signals.received is None:
            time.sleep(0.002)
        time.sleep(0.1)  # what the signal does to the workers shows by now
"""
    )
    arguments = [*flags, "--num-workers", str(workers), "--output-dir", str(directory)]
    run = launcher.start(arguments, prelude)
    wait_until(reached.exists, run)
    os.killpg(run.pid, number)  # the group: a signal to the run alone would spare its workers
    assert run.wait() == 128 + number, run.stderr
    line = only(run.error_lines)
    assert line.startswith(f"stopped by {name} after step 5; ")
    newest = directory / "checkpoints" / "step-00000005"
    assert str(newest) in line
    assert f"--resume --output-dir {directory}" in line
    assert list_checkpoints(directory / "checkpoints")[-1] == newest
    resumed = resume(launcher, directory, "--num-workers", "0")
    assert f"resuming from {newest}" in resumed.stdout
    assert_same_run(directory, whole)
    assert leftovers(directory) == []


def test_a_lost_terminal_does_not_end_a_run_under_nohup(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    prelude = (
        HOOK
        + """
signal.signal(signal.SIGHUP, signal.SIG_IGN)
def hook(session, step):
    if step in (5, 6):
        os.kill(os.getpid(), signal.SIGHUP)
"""
    )
    run = launcher.run([*flags, "--output-dir", str(directory)], prelude)
    assert run.code == 0, run.stderr
    assert_same_run(directory, whole)


@pytest.mark.parametrize("step", [6, 12])
def test_a_signal_during_an_evaluation(
    step: int, launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """The evaluation is made once after resuming; resuming again adds nothing."""
    directory = tmp_path / "run"
    prelude = f"""
import os, signal
from qa.training.validation import Validation
evaluate = Validation.evaluate
def signal_and_evaluate(validation):
    if validation.job.run.global_step == {step}:
        os.kill(os.getpid(), signal.SIGTERM)
    evaluate(validation)
Validation.evaluate = signal_and_evaluate
"""
    run = launcher.run([*flags, "--output-dir", str(directory)], prelude)
    assert run.code == 128 + signal.SIGTERM, run.stderr
    history = read_json(directory / "metrics.json")["history"]
    assert [record["step"] for record in history] == list(range(3, step, 3))
    resume(launcher, directory)
    assert leftovers(directory) == []
    for name in ("best/model.safetensors", "predictions.json", "nbest_predictions.json"):
        assert (directory / name).read_bytes() == (whole / name).read_bytes(), name
    assert read_json(directory / "metrics.json") == read_json(whole / "metrics.json")
    assert curves(directory) == curves(whole)
    resume(launcher, directory)
    assert_same_run(directory, whole)


def test_an_evaluation_made_up_for_is_not_drawn_twice_if_the_run_is_killed_again(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """A signal comes during the evaluation at step 6; the resumed run makes it, and is killed."""
    directory = tmp_path / "run"
    abort = """
import os, signal
from qa.training.validation import Validation
evaluate = Validation.evaluate
def signal_and_evaluate(validation):
    if validation.job.run.global_step == 6:
        os.kill(os.getpid(), signal.SIGTERM)
    evaluate(validation)
Validation.evaluate = signal_and_evaluate
"""
    run = launcher.run([*flags, "--output-dir", str(directory)], abort)
    assert run.code == 128 + signal.SIGTERM, run.stderr
    kill = (
        HOOK
        + """
def hook(session, step):
    session.tensorboard.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    killed = launcher.run(["--resume", "--output-dir", str(directory)], kill)
    assert killed.code == -signal.SIGKILL
    resume(launcher, directory)
    assert_same_run(directory, whole)


def test_a_second_signal_ends_the_process_at_once(
    launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    directory, noted = tmp_path / "run", tmp_path / "noted"
    prelude = (
        HOOK
        + f"""
def hook(session, step):
    if step == 5:
        os.kill(os.getpid(), signal.SIGTERM)
        while session.signals.received is None:
            time.sleep(0.002)
        Path({str(noted)!r}).touch()
        time.sleep(50)
"""
    )
    run = launcher.start([*flags, "--output-dir", str(directory)], prelude)
    wait_until(noted.exists, run)
    run.kill(signal.SIGINT)
    assert run.wait(10) == -signal.SIGINT
    assert [path.name for path in list_checkpoints(directory / "checkpoints")][-1][-1] == "4"


def test_a_signal_after_the_last_step_of_a_run_without_evaluation(
    launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    """The run is over then: it either ends well, or reports the stop and can be resumed."""
    index = flags.index("--holdout")
    arguments = flags[:index] + flags[index + 2 :]
    directory = tmp_path / "run"
    prelude = """
import os, signal
from qa.training.session import Session
save = Session.save
def save_after_signal(session):
    if session.run.global_step == 12:
        os.kill(os.getpid(), signal.SIGTERM)
    save(session)
Session.save = save_after_signal
"""
    run = launcher.run([*arguments, "--output-dir", str(directory)], prelude)
    if run.code != 0:
        assert run.code == 128 + signal.SIGTERM
        resume(launcher, directory)
    assert (directory / "best" / "model.safetensors").is_file()


# SIGKILL


def kill_before(target: str, condition: str) -> str:
    """Return a prelude that kills the run when a function is called while a condition holds.

    The condition may use `step`, the steps made so far, and `args`, the function's arguments.
    """
    module, _, name = target.rpartition(".")
    owner, _, kind = module.rpartition(".")
    holder = f"getattr(importlib.import_module({owner!r}), {kind!r})"
    if not kind[0].isupper():
        holder = f"importlib.import_module({module!r})"
    return f"""
import importlib, os, signal
from qa.engine.loop import TrainingRun
progress = [0]
make_steps = TrainingRun.steps
def counted(self):
    for out in make_steps(self):
        progress[0] = out.global_step
        yield out
TrainingRun.steps = counted
holder = {holder}
original = getattr(holder, {name!r})
def kill(*args, **kwargs):
    step = progress[0]
    if {condition}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)
setattr(holder, {name!r}, kill)
"""


MOMENTS = {
    "before the folder of checkpoints is made": kill_before(
        "qa.engine.checkpoint_writer.CheckpointWriter.__init__", "step == 0"
    ),
    "before the first checkpoint": kill_before("qa.training.session.Session.save", "step == 2"),
    "while the first checkpoint is written": kill_before(
        "qa.engine.checkpoint.fingerprint", "step == 2"
    ),
    "before the first checkpoint is renamed": kill_before(
        "os.rename", "str(args[1]).endswith('step-00000002')"
    ),
    "while a checkpoint is written": kill_before("qa.engine.checkpoint.fingerprint", "step == 8"),
    "before it is renamed": kill_before(
        "os.rename", "str(args[1]).endswith('step-00000008')"
    ),
    "before the old ones are removed": kill_before(
        "qa.engine.checkpoint_writer.prune_checkpoints", "step == 8"
    ),
    "between the renames of the best model": kill_before(
        "os.rename", "str(args[0]).endswith('.best.tmp') and step > 3"
    ),
    "between best model and predictions": kill_before(
        "qa.outputs.prediction_files.PredictionFiles.commit", "step > 3"
    ),
    "between the two prediction files": kill_before(
        "os.replace", "step > 3 and str(args[1]).endswith('/nbest_predictions.json')"
    ),
    "between an evaluation and its checkpoint": kill_before(
        "qa.training.session.Session.save", "step == 12"
    ),
    "after the last checkpoint": kill_before("qa.training.session.Session.finish", "step == 12"),
}  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_the_worst_moment(
    moment: str, launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    run = launcher.run([*flags, "--output-dir", str(directory)], MOMENTS[moment])
    assert run.code == -signal.SIGKILL, run.stderr
    resume(launcher, directory)
    assert_same_run(directory, whole)
    assert leftovers(directory) == []


def test_a_half_written_checkpoint_of_another_step_does_not_stay_forever(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """Killed while it saves after a signal, at a step that no later save will come to again."""
    directory = tmp_path / "run"
    prelude = (
        kill_before("qa.engine.checkpoint.fingerprint", "step == 5")
        + HOOK
        + """
def hook(session, step):
    if step == 5:
        os.kill(os.getpid(), signal.SIGTERM)
"""
    )
    run = launcher.run([*flags, "--output-dir", str(directory)], prelude)
    assert run.code == -signal.SIGKILL, run.stderr
    assert leftovers(directory / "checkpoints") != []
    resume(launcher, directory)
    assert_same_run(directory, whole)
    assert leftovers(directory) == []


def has_begun(run: Run) -> bool:
    """Whether a run has opened its output directory, or failed."""
    return "output: " in run.stdout or bool(run.error_lines)


@pytest.mark.parametrize("save", ["--no-async-save", "--async-save"])
def test_killed_again_and_again_at_random(
    save: str, launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """A short form of the soak test: --resume until done equals a run that was never killed."""
    generator = random.Random(save)
    directory = tmp_path / "run"
    own = ["--output-dir", str(directory)]
    kills, code = 0, None
    while code != 0:
        can_resume = (directory / "checkpoints").is_dir()
        arguments = [*flags, *own, "--resume" if can_resume else "--overwrite"]
        run = launcher.start([*arguments, save, "--num-workers", "2"])
        if kills < 4:
            # Before anything is written there is nothing to lose: most kills come after that.
            if generator.random() < 0.8:
                wait_until(partial(has_begun, run), run)
            time.sleep(generator.uniform(0, 0.5))
            run.kill(signal.SIGKILL)
            kills += 1
        code = run.wait()
        assert code in (0, -signal.SIGKILL), run.stderr
    assert_same_run(directory, whole)


def test_saving_in_the_background_gives_the_same_run(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    run = launcher.run([*flags, "--async-save", "--output-dir", str(directory)])
    assert run.code == 0, run.stderr
    assert_same_run(directory, whole)
    names = [[p.name for p in list_checkpoints(d / "checkpoints")] for d in (directory, whole)]
    assert names[0] == names[1]


# One run per directory


def test_a_second_run_in_the_same_directory_is_refused(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    directory, reached, go = tmp_path / "run", tmp_path / "reached", tmp_path / "go"
    prelude = (
        HOOK
        + f"""
def hook(session, step):
    if step == 5:
        Path({str(reached)!r}).touch()
        while not Path({str(go)!r}).exists():
            time.sleep(0.005)
"""
    )
    own = ["--output-dir", str(directory)]
    first = launcher.start([*flags, *own], prelude)
    try:
        wait_until(reached.exists, first)
        for arguments in ([*own, "--resume"], [*flags, *own, "--overwrite"]):
            second = launcher.run(arguments)
            assert second.code == 2, second.stderr
            line = only(second.error_lines)
            assert line.startswith(f"error: {directory}: another run is writing there")
            assert f"host {socket.gethostname()}, pid {first.pid}" in line
    finally:
        go.touch()
        code = first.wait()
    assert code == 0, first.stderr
    assert_same_run(directory, whole)


# Losses and weights that are not finite


BREAK_THE_WEIGHTS = (
    HOOK
    + """
import torch
def hook(session, step):
    if step == 5:
        with torch.no_grad():
            next(iter(session.run.model.parameters())).fill_(float("nan"))
"""
)


@pytest.mark.parametrize(
    ("extra", "newest"),
    [
        ([], "step-00000004"),
        (["--logging-steps", "50", "--eval-steps", "50"], "step-00000004"),
        (["--logging-steps", "50", "--eval-steps", "1", "--save-steps", "5"], "step-00000005"),
    ],
    ids=["found when saving", "found when saving, rarely logged", "found when evaluating"],
)
def test_a_loss_that_is_not_finite_ends_the_run(
    extra: list[str], newest: str, launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    """Step 6 is the first with broken weights; the model that was best before is kept."""
    directory = tmp_path / "run"
    run = launcher.run([*flags, *extra, "--output-dir", str(directory)], BREAK_THE_WEIGHTS)
    assert run.code == 1, run.stderr
    line = only(run.error_lines)
    assert line.startswith("error: the loss is not finite since step 6; ")
    path = list_checkpoints(directory / "checkpoints")[-1]
    assert path.name == newest
    if newest == "step-00000004":  # at step 5 they were broken before the checkpoint
        weights = load_checkpoint(path)["run"]["model"]
        assert all(bool(torch.isfinite(value).all()) for value in weights.values())
    if (directory / "metrics.json").exists():
        history = read_json(directory / "metrics.json")["history"]
        assert max(record["step"] for record in history) <= 5


def test_a_learning_rate_that_blows_up(
    launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    extra = ["--learning-rate", "1e30", "--warmup-ratio", "0", "--output-dir", str(directory)]
    run = launcher.run([*flags, *extra])
    assert run.code == 1, run.stderr
    line = only(run.error_lines)
    match = re.match(r"error: the (loss|gradient norm) is not finite since step (\d+); ", line)
    assert match
    assert 1 < int(match[2]) <= 3
    assert "learning rate" in line


# Data workers and memory


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_data_worker(
    workers: int, launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """As the system kills one when memory is short."""
    directory = tmp_path / "run"
    prelude = (
        HOOK
        + """
import multiprocessing
def hook(session, step):
    if step == 5:
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
"""
    )
    own = ["--num-workers", str(workers), "--max-steps", "12", "--output-dir", str(directory)]
    run = launcher.run([*flags, *own], prelude, timeout=30)
    assert run.code == 1, run.stderr
    line = only(run.error_lines)
    assert line.startswith("error: the run failed (DataLoader worker (pid")
    assert f"go on with --resume --output-dir {directory}" in line
    resume(launcher, directory)
    assert_same_run(directory, whole)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mistake_of_the_program_with_data_workers(
    workers: int, launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    """A traceback, which holds the workers, and the end."""
    prelude = """
import qa.models.readers
def broken(model, batch, r_drop):
    raise IndexError("index out of range in self")
qa.models.readers.reader_loss = broken
"""
    own = ["--num-workers", str(workers), "--output-dir", str(tmp_path / "run")]
    run = launcher.run([*flags, *own], prelude, timeout=30)
    assert run.code == 1
    assert run.error_lines[-1] == "IndexError: index out of range in self"


# In a prelude: what a model asks for that does not fit.
EXHAUST = "import torch; exhaust = lambda: torch.empty(2**50, dtype=torch.uint8)\n"


@pytest.mark.parametrize("workers", [0, 2])
def test_out_of_memory_in_a_step(
    workers: int, launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    prelude = (
        EXHAUST
        + """
import qa.engine.loop
train_step, made = qa.engine.loop.train_step, []
def step_or_exhaust(*arguments, **options):
    made.append(1)
    return exhaust() if len(made) == 6 else train_step(*arguments, **options)
qa.engine.loop.train_step = step_or_exhaust
"""
    )
    own = ["--num-workers", str(workers), "--output-dir", str(directory)]
    run = launcher.run([*flags, *own], prelude, timeout=30)
    assert run.code == 1, run.stderr
    line = only(run.error_lines)
    assert line.startswith("error: out of memory in step 6 (DefaultCPUAllocator: can't allocate")
    assert "--per-device-train-batch-size" in line
    assert "--gradient-accumulation-steps" in line
    assert "--max-seq-length" in line
    newest = directory / "checkpoints" / "step-00000004"
    assert line.endswith(
        f"the last checkpoint is {newest}; go on with --resume --output-dir {directory}"
    )
    resume(launcher, directory)
    assert_same_run(directory, whole)


@pytest.mark.parametrize("save", ["--no-async-save", "--async-save"])
def test_out_of_memory_in_an_evaluation_loses_nothing(
    save: str, launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """The step before it is saved, and the evaluation is the first thing after --resume."""
    directory = tmp_path / "run"
    prelude = (
        EXHAUST
        + """
from qa.answering.answerer import Answerer
answer_blocks, made = Answerer.answer_blocks, []
def answer_or_exhaust(*arguments, **options):
    made.append(1)
    return exhaust() if len(made) == 3 else answer_blocks(*arguments, **options)
Answerer.answer_blocks = answer_or_exhaust
"""
    )
    run = launcher.run([*flags, save, "--output-dir", str(directory)], prelude)
    assert run.code == 1, run.stderr
    line = only(run.error_lines)
    start = "error: out of memory in the evaluation after step 9 (DefaultCPUAllocator: can't"
    assert line.startswith(start)
    assert "pass a lower --per-device-eval-batch-size; " in line
    newest = directory / "checkpoints" / "step-00000009"
    assert f"the last checkpoint is {newest}; go on with --resume" in line
    # A lower batch size, as the line says; the scores are the same.
    resume(launcher, directory, "--per-device-eval-batch-size", "16")
    assert [e["step"] for e in read_json(directory / "metrics.json")["history"]] == [3, 6, 9, 12]
    assert_same_run(directory, whole)


# Output


@pytest.mark.parametrize("dead", ["stdout", "stdout and stderr"])
def test_a_run_goes_on_when_nobody_reads_it_any_more(
    dead: str, launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """As `train.py | head -1` has it, or a tee that was killed."""
    directory = tmp_path / "run"
    pipes = {name: tmp_path / name for name in dead.split(" and ")}
    for pipe in pipes.values():
        os.mkfifo(pipe)
    arguments = [*flags, "--output-dir", str(directory)]
    run = launcher.start(arguments, stdout=pipes["stdout"], stderr=pipes.get("stderr"))
    readers = [pipe.open(encoding="utf-8") for pipe in pipes.values()]
    assert readers[0].readline()
    for reader in readers:
        reader.close()
    assert run.wait() == 0
    assert "stderr" in pipes or run.error_lines == []
    assert_same_run(directory, whole)


def test_a_console_that_cannot_print_korean(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """As PYTHONIOENCODING=ascii has it, or a POSIX locale (tests/cli/test_streams.py)."""
    directory = tmp_path / "run"
    prelude = "import sys\nsys.stdout.reconfigure(encoding='ascii')\n"
    run = launcher.run([*flags, "--output-dir", str(directory)], prelude)
    assert run.code == 0, run.stderr
    assert "Q: \\u" in run.stdout  # the report's questions, escaped
    assert f"output:  {directory}" in run.stdout
    assert_same_run(directory, whole)


# Disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MiB, in memory."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "qa-test", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize(("save", "left"), [("--no-async-save", 0), ("--async-save", 65536)])
def test_a_full_disk(
    save: str,
    left: int,
    launcher: Launcher,
    flags: list[str],
    whole: Path,
    small_disk: Path,
) -> None:
    """The checkpoint of step 8 does not fit; with no byte left, no point of a curve does."""
    directory, ballast = small_disk / "run", small_disk / "ballast"
    prelude = (
        HOOK
        + f"""
def hook(session, step):
    if step == 7:
        with open({str(ballast)!r}, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                file.truncate(max(0, file.tell() - {left}))
"""
    )
    run = launcher.run([*flags, save, "--output-dir", str(directory)], prelude)
    assert run.code == 1, run.stderr
    line = only(run.error_lines)
    newest = directory / "checkpoints" / "step-00000006"
    assert line.startswith("error: the run failed (")
    assert str(newest) in line
    reason = line[line.index("(") : line.index(")")]
    assert str(directory) in reason, "the file that found no room"
    assert list_checkpoints(directory / "checkpoints")[-1] == newest
    assert load_checkpoint(newest)["run"]["global_step"] == 6
    ballast.unlink()
    resume(launcher, directory)
    assert_same_run(directory, whole)
    assert leftovers(directory) == []


def test_a_failed_read_is_not_called_a_failed_write(
    launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    """Such as a read from a data set on a network drive, or from a data worker's pipe."""
    directory = tmp_path / "run"
    prelude = """
from qa.engine.loop import TrainingRun
make_steps = TrainingRun.steps
def broken(self):
    for out in make_steps(self):
        yield out
        if out.global_step == 5:
            raise ConnectionResetError(104, "Connection reset by peer")
TrainingRun.steps = broken
"""
    run = launcher.run([*flags, "--output-dir", str(directory)], prelude)
    assert run.code == 1
    assert only(run.error_lines) == (
        "error: the run failed (Connection reset by peer); the last checkpoint is"
        f" {directory}/checkpoints/step-00000004; go on with --resume --output-dir {directory}"
    )


@pytest.mark.parametrize("evaluates", [True, False])
def test_a_directory_removed_while_running(
    evaluates: bool, launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    index = flags.index("--holdout")
    arguments = flags if evaluates else flags[:index] + flags[index + 2 :]
    prelude = (
        HOOK
        + f"""
def hook(session, step):
    if step == 5:
        shutil.rmtree({str(directory)!r})
"""
    )
    run = launcher.run([*arguments, "--output-dir", str(directory)], prelude)
    assert run.code == 1, run.stderr
    line = only(run.error_lines)
    assert line.startswith("error: the run failed (")


def test_permission_lost_while_running(launcher: Launcher, flags: list[str]) -> None:
    """No permission stops root, so root becomes nobody; other users lose the right to write."""
    public = Path(tempfile.mkdtemp(prefix="qa-test-"))
    try:
        public.chmod(0o755)
        directory = public / "run"
        prelude = (
            HOOK
            + """
def hook(session, step):
    if step == 7:
        (session.directory / "checkpoints").chmod(0o555)
        if os.geteuid() == 0:
            import atexit
            atexit.register(os.seteuid, 0)  # coverage writes its file afterwards
            os.seteuid(65534)
"""
        )
        run = launcher.run([*flags, "--output-dir", str(directory)], prelude)
        assert run.code == 1, run.stderr
        line = only(run.error_lines)
        assert line.startswith(f"error: the run failed (Permission denied: {directory}/")
        newest = list_checkpoints(directory / "checkpoints")[-1]
        assert newest.name == "step-00000006"
        assert str(newest) in line
        assert load_checkpoint(newest)["run"]["global_step"] == 6
    finally:
        shutil.rmtree(public)


# A damaged checkpoint in the middle of a run


def test_removing_old_checkpoints_spares_the_good_one_that_a_run_came_from(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """Step 10 is damaged; the run goes on from step 8, and is killed after it saved step 9."""
    directory = tmp_path / "run"
    own = [*flags, "--save-total-limit", "2", "--output-dir", str(directory)]
    killed = launcher.run(own, kill_before("qa.training.session.Session.save", "step == 12"))
    assert killed.code == -signal.SIGKILL
    newest = list_checkpoints(directory / "checkpoints")[-1]
    assert newest.name == "step-00000010"
    (newest / "state.pt").write_bytes(b"")
    extra = ["--save-total-limit", "1"]
    arguments = ["--resume", *extra, "--save-steps", "1", "--output-dir", str(directory)]
    again = launcher.run(arguments, kill_before("qa.training.session.Session.save", "step == 10"))
    assert again.code == -signal.SIGKILL
    # Step 9 was saved after the damaged step 10, and is the newest good one.
    assert "step-00000009" in [path.name for path in list_checkpoints(directory / "checkpoints")]
    assert "step-00000009" in resume(launcher, directory).stdout
    assert_same_run(directory, whole)


# Many processes


# Every example is a block of its own, so that both processes have some to answer.
SMALL_BLOCKS = "import qa.answering.blocks; qa.answering.blocks.WINDOWS_PER_BLOCK = 1\n"


def start_two(launcher: Launcher, arguments: list[str], prelude: str = "") -> list[Run]:
    port = free_port()
    preludes = [as_rank(rank, 2, port) + SMALL_BLOCKS + prelude for rank in range(2)]
    return [launcher.start(arguments, each) for each in preludes]


@pytest.fixture(scope="module")
def exact(flags: list[str]) -> list[str]:
    """Without dropout, so that only the order of sums differs; 4 micro-batches."""
    extra = ["--attention-dropout", "0", "--hidden-dropout", "0"]
    return [*flags, *extra, "--learning-rate", "0.001"]


def assert_about_the_same_run(directory: Path, other: Path) -> None:
    """Assert that answers are the same, and figures as close as sums in another order."""
    assert read_json(directory / "predictions.json") == read_json(other / "predictions.json")
    metrics, other_metrics = (read_json(path / "metrics.json") for path in (directory, other))
    assert len(metrics["history"]) == len(other_metrics["history"]) == 4
    for record, other_record in zip(metrics["history"], other_metrics["history"], strict=True):
        assert record == pytest.approx(other_record, abs=1e-3)
    found, expected = curves(directory), curves(other)
    assert found.keys() == expected.keys()
    for tag, points in found.items():
        assert [step for step, _ in points] == [step for step, _ in expected[tag]], tag
        values = [value for _, value in expected[tag]]
        assert [value for _, value in points] == pytest.approx(values, abs=1e-3), tag


@pytest.fixture(scope="module")
def alone(launcher: Launcher, exact: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process that accumulates 4 micro-batches per step, of 5 per epoch."""
    directory = tmp_path_factory.mktemp("runs") / "alone"
    arguments = [*exact, "--gradient-accumulation-steps", "4", "--output-dir", str(directory)]
    run = launcher.run(arguments)
    assert run.code == 0, run.stderr
    return directory


def test_torchrun_with_two_processes_is_the_same_run(
    exact: list[str], alone: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    command = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    arguments = [*exact, "--gradient-accumulation-steps", "2", "--output-dir", str(directory)]
    done = subprocess.run(
        [sys.executable, *command, "train.py", *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert_about_the_same_run(directory, alone)
    assert len(list((directory / "tensorboard").iterdir())) == 1
    assert sorted(p.name for p in directory.iterdir()) == sorted(p.name for p in alone.iterdir())
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    reports = [
        line for line in lines if re.match(r"qa:|training:|held out:|model:|step |output: ", line)
    ]
    assert sorted(set(reports)) == sorted(reports), "a line was printed by more than one process"


def test_a_signal_to_one_of_two_processes_stops_both_and_one_process_goes_on(
    launcher: Launcher, exact: list[str], alone: Path, tmp_path: Path
) -> None:
    """The run goes on with 2, 1 and 2 processes: the same order of examples, the same curves."""
    directory = tmp_path / "run"
    own = ["--output-dir", str(directory)]
    stop = (
        HOOK
        + """
def hook(session, step):
    if step == {step} and session.world.rank == session.world.size - 1:
        os.kill(os.getpid(), signal.SIGTERM)
"""
    )
    two = [*exact, "--gradient-accumulation-steps", "2", *own]
    ranks = start_two(launcher, two, stop.replace("{step}", "3"))
    assert [rank.wait() for rank in ranks] == [143, 143], [rank.stderr for rank in ranks]
    assert list_checkpoints(directory / "checkpoints")[-1].name == "step-00000003"
    reports = [line for rank in ranks for line in rank.error_lines if "stopped by" in line]
    assert len(reports) == 1, "one line, not one for each process"
    one = ["--resume", *own, "--gradient-accumulation-steps", "4"]
    run = launcher.run(one, stop.replace("{step}", "7"))
    assert run.code == 143, run.stderr
    ranks = start_two(launcher, ["--resume", *own, "--gradient-accumulation-steps", "2"])
    assert [rank.wait() for rank in ranks] == [0, 0], [rank.stderr for rank in ranks]
    assert_about_the_same_run(directory, alone)


def test_two_processes_resumed_are_bit_identical(
    launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    """With dropout and bf16: every process's own random numbers are restored."""
    for name in ("whole", "killed"):
        own = ["--precision", "bf16", "--output-dir", str(tmp_path / name)]
        kill = (
            kill_before("qa.training.session.Session.evaluate", "step == 9")
            if name == "killed"
            else ""
        )
        ranks = start_two(launcher, [*flags, *own], kill)
        codes = [rank.wait() for rank in ranks]
        if name == "killed":
            assert codes == [-signal.SIGKILL] * 2
            ranks = start_two(launcher, ["--resume", *own])
            codes = [rank.wait() for rank in ranks]
        assert codes == [0, 0], [rank.stderr for rank in ranks]
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


def test_a_wrong_flag_is_told_once(launcher: Launcher, flags: list[str]) -> None:
    for wrong in (["--learning-rate", "-1"], ["--lerning-rate", "1"]):
        ranks = start_two(launcher, [*flags, *wrong])
        assert [rank.wait(30) for rank in ranks] == [2, 2]
        assert only(ranks[0].error_lines).startswith("error: ")
        assert ranks[1].stderr == ""


def test_a_process_that_fails_ends_the_other(
    launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    prelude = (
        HOOK
        + """
def hook(session, step):
    if step == 5 and session.world.rank == 1:
        raise RuntimeError("rank 1 is broken")
"""
    )
    ranks = start_two(launcher, [*flags, "--output-dir", str(tmp_path / "run")], prelude)
    codes = [rank.wait(30) for rank in ranks]
    assert 0 not in codes
    assert "rank 1 is broken" in ranks[1].stderr
    assert list_checkpoints(tmp_path / "run" / "checkpoints")[-1].name == "step-00000004"


def test_a_refusal_in_the_main_process_ends_the_other(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """The resumed run is another one: a table is printed once, and no process waits for ever."""
    directory = tmp_path / "run"
    shutil.copytree(whole, directory)
    ranks = start_two(launcher, ["--resume", "--output-dir", str(directory)])
    codes = [rank.wait(30) for rank in ranks]
    assert codes[0] == 2
    assert codes[1] != 0
    assert ranks[0].error_lines[0].startswith("error: --resume would continue another run")


def test_a_run_killed_before_its_first_checkpoint_starts_again(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    kill = """
import os, signal
from qa.training.session import Session
Session.record = lambda session, out: os.kill(os.getpid(), signal.SIGKILL)
"""
    run = launcher.run([*flags, "--output-dir", str(directory)], kill)
    assert run.code == -signal.SIGKILL
    assert list((directory / "checkpoints").iterdir()) == []
    assert "starting from the beginning" in resume(launcher, directory).stdout
    assert_same_run(directory, whole)


def test_resuming_without_any_checkpoint_removes_no_model(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """Somebody emptied checkpoints/ to save space, and resumes by mistake."""
    directory = tmp_path / "run"
    shutil.copytree(whole, directory)
    shutil.rmtree(directory / "checkpoints")
    (directory / "checkpoints").mkdir()
    stop = """
import os, signal
from qa.training.session import Session
Session.record = lambda session, out: os.kill(os.getpid(), signal.SIGKILL)
"""
    run = launcher.run(["--resume", "--output-dir", str(directory)], stop)
    assert run.code == -signal.SIGKILL
    for name in ("best/model.safetensors", "predictions.json", "metrics.json"):
        assert (directory / name).read_bytes() == (whole / name).read_bytes()
