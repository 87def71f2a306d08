"""Prove, on your own configuration, that a run which is killed and resumed is the same run.

    python -m qa verify-resume [--kills 10] [the flags of train.py]

It runs a short reference without interruption, runs the same again with SIGKILLs at random moments
and --resume, and compares every tensor, every random generator's state, the logged curves (speeds
aside), the evaluations and the predictions. Needs a system with SIGKILL, so not Windows.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qa.cli.parser import Parser, run_command
from qa.cli.train_flags import parse_arguments
from qa.engine.errors import RunStopped, UserError, require
from qa.outputs.directory import BEST, CHECKPOINTS, METRICS_FILE, TENSORBOARD
from qa.outputs.prediction_files import NBEST_FILE, PREDICTIONS_FILE

DEFAULT_STEPS = 20
STARTED = "output: "  # what train.py prints when it has opened its output directory
TRAIN = Path(__file__).resolve().parents[1] / "train.py"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0 if the runs are the same, 1 if not."""
    parser = Parser(
        prog="python -m qa verify-resume",
        description="Prove that a killed and resumed run equals an uninterrupted one. All other"
        " flags are those of train.py; --output-dir names where the two runs are kept.",
    )
    parser.add_argument("--kills", type=int, default=10, help="how often to kill (default 10)")
    parser.add_argument("--kill-seed", type=int, default=0, help="seed of the moments (default 0)")

    def run() -> None:
        options, flags = parser.parse_known_args(arguments)
        verify(flags, options.kills, options.kill_seed)

    return run_command(run)


def verify(flags: list[str], kills: int, seed: int) -> None:
    """Make both runs and compare them; RunStopped with code 1 at the first difference."""
    require(
        TRAIN.is_file(), f"{TRAIN}: is missing; install qa from its repository (pip install -e)"
    )
    require(kills >= 1, f"--kills must be at least 1, not {kills}")
    command = parse_arguments(flags)
    if command is None or command.resume or command.overwrite:
        raise UserError("--list-recipes, --resume and --overwrite have no meaning here")
    config = command.config
    root = Path(config.output.output_dir or tempfile.mkdtemp(prefix="qa-verify-"))
    steps = config.train.max_steps or DEFAULT_STEPS
    every = str(max(1, steps // 5))
    # The last of two equal flags counts, so these come after the user's.
    flags = [
        *flags,
        "--max-steps",
        str(steps),
        "--logging-steps",
        "1",
        "--save-total-limit",
        "none",
    ]
    flags += ["--save-steps", every, "--eval-steps", str(2 * int(every))]
    reference, killed = root / "reference", root / "killed"
    for directory in (reference, killed):
        require(not directory.exists(), f"{directory}: exists already; pass another --output-dir")
    print(f"reference: {steps} steps without interruption", flush=True)
    seconds = run_to_end([*flags, "--output-dir", str(reference)])
    rng = random.Random(seed)
    done = resumes = 0
    while done < kills:
        delay = rng.uniform(0, seconds)
        flags_now = resume_flags(flags, killed)
        resumes += "--resume" in flags_now
        if kill_after([*flags_now, "--output-dir", str(killed)], delay):
            done += 1
            print(f"kill {done} after {delay:.2f} s of training, {describe(killed)}", flush=True)
        else:  # it came to its end first: once more from the start
            shutil.rmtree(killed)
    last_flags = resume_flags(flags, killed)
    resumes += "--resume" in last_flags
    run_to_end([*last_flags, "--output-dir", str(killed)])
    difference = next(differences(reference, killed), None)
    if difference is not None:
        raise RunStopped(f"DIFFERENT: {difference} (runs kept in {root})", exit_code=1)
    print(
        f"SAME: {done} kills, {resumes} resumes, no difference in weights, optimizer, generators,"
        " curves and scores"
    )
    if config.output.output_dir is None:
        shutil.rmtree(root)


def resume_flags(flags: list[str], directory: Path) -> list[str]:
    """The flags to go on with what is in `directory`, if anything."""
    return [*flags, "--resume"] if (directory / CHECKPOINTS).is_dir() else flags


def start(flags: list[str]) -> subprocess.Popen[str]:
    """Start train.py and wait until its output directory is open."""
    process = subprocess.Popen(
        [sys.executable, str(TRAIN), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that its data workers can be killed with it
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(STARTED):
            return process
    process.wait()
    raise RunStopped(f"train.py did not start to train:\n{''.join(lines[-5:])}", exit_code=1)


def run_to_end(flags: list[str]) -> float:
    """Run train.py; returns the seconds it trained. RunStopped if it fails."""
    process = start(flags)
    started = time.perf_counter()
    output, _ = process.communicate()
    if process.returncode != 0:
        raise RunStopped(f"train.py failed with {process.returncode}:\n{output}", exit_code=1)
    return time.perf_counter() - started


def kill_after(flags: list[str], seconds: float) -> bool:
    """Run train.py and SIGKILL it so long after it began to train; false if it had ended."""
    process = start(flags)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    if process.returncode != 0:
        output, _ = process.communicate()
        raise RunStopped(f"train.py failed with {process.returncode}:\n{output}", exit_code=1)
    return False


def describe(directory: Path) -> str:
    """How far a run had come."""
    checkpoints = sorted((directory / CHECKPOINTS).glob("step-*"))
    return f"newest checkpoint {checkpoints[-1].name if checkpoints else 'none'}"


def differences(first: Path, second: Path) -> Iterator[str]:
    """What differs between two finished runs, each as a phrase."""
    from qa.engine.checkpoint import list_checkpoints, load_checkpoint

    names = [[p.name for p in list_checkpoints(d / CHECKPOINTS)] for d in (first, second)]
    if names[0] != names[1]:
        yield f"checkpoints {names[0]} and {names[1]}"
        return
    for name in names[0]:
        states = [load_checkpoint(d / CHECKPOINTS / name) for d in (first, second)]
        yield from state_differences(states[0], states[1], name)
    curves = [read_curves(d / TENSORBOARD) for d in (first, second)]
    yield from state_differences(curves[0], curves[1], "curves")
    for file in (METRICS_FILE, PREDICTIONS_FILE, NBEST_FILE, f"{BEST}/model.safetensors"):
        contents = [
            (d / file).read_bytes() if (d / file).exists() else b"" for d in (first, second)
        ]
        if contents[0] != contents[1]:
            yield f"the content of {file}"


def state_differences(first: Any, second: Any, where: str) -> Iterator[str]:
    """Where two nested states differ; tensors and numbers are compared bit for bit."""
    import torch

    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        if first.dtype != second.dtype or not torch.equal(
            first.contiguous().view(-1).view(torch.uint8),
            second.contiguous().view(-1).view(torch.uint8),
        ):
            yield f"tensor {where}"
    elif isinstance(first, dict) and isinstance(second, dict):
        if first.keys() != second.keys():
            yield f"names in {where}: {sorted(map(str, first.keys() ^ second.keys()))}"
        for key in first.keys() & second.keys():
            yield from state_differences(first[key], second[key], f"{where}/{key}")
    elif isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        if len(first) != len(second):
            yield f"{where} has {len(first)} and {len(second)} entries"
        for i, (a, b) in enumerate(zip(first, second, strict=False)):
            yield from state_differences(a, b, f"{where}[{i}]")
    elif repr(first) != repr(second):  # repr: a nan equals itself, and -0.0 is not 0.0
        yield f"{where}: {first} and {second}"


def read_curves(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Every curve as (step, value) points, without those that measure time."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("speed/")]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in sorted(tags)}
