"""Prove, on your own configuration, that a run which is killed and resumed is the same run.

    python -m qa verify-resume [--kills 10] [the flags of train.py]

It runs a short reference without interruption, runs the same again with SIGKILLs at random moments
and --resume, and compares every tensor, every random generator's state, the logged curves (except
speeds), the evaluations and the predictions. It needs a system with SIGKILL, so not Windows.
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
from collections.abc import Callable
from pathlib import Path

from qa.cli.parser import Parser, run_command
from qa.cli.run_differences import differences
from qa.cli.train_flags import make_parser, parse_arguments
from qa.engine.errors import RunStopped, UserError, require
from qa.outputs.directory import CHECKPOINTS

DEFAULT_STEPS = 20
STARTED = "output: "  # what train.py prints when it has opened its output directory


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 if the runs are the same, 1 if not."""
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
    require(kills >= 1, f"--kills must be at least 1, not {kills}")
    flags = make_parser().in_own_flags(flags)  # flags of ours follow, which may say the same
    command = parse_arguments(flags)
    if command is None or command.resume or command.overwrite:
        raise UserError("--list-recipes, --resume and --overwrite have no meaning here")
    output_dir = command.config.output.output_dir
    root = Path(output_dir or tempfile.mkdtemp(prefix="qa-verify-"))
    steps = command.config.train.max_steps or DEFAULT_STEPS
    flags = [*flags, *short_run_flags(steps)]  # the last of two equal flags counts
    reference, killed = root / "reference", root / "killed"
    for directory in (reference, killed):
        require(not directory.exists(), f"{directory}: exists already; pass another --output-dir")
    print(f"reference: {steps} steps without interruption", flush=True)
    seconds = run_to_end([*flags, "--output-dir", str(reference)])
    delays = random.Random(seed)
    resumes = run_with_kills(flags, killed, kills, lambda: delays.uniform(0, seconds))
    difference = next(differences(reference, killed), None)
    if difference is not None:
        raise RunStopped(f"DIFFERENT: {difference} (runs kept in {root})", exit_code=1)
    print(
        f"SAME: {kills} kills, {resumes} resumes, no difference in weights, optimizer, generators,"
        " curves and scores"
    )
    if output_dir is None:
        shutil.rmtree(root)


def short_run_flags(steps: int) -> list[str]:
    """Return flags for a run of `steps` steps with a checkpoint after each fifth of them."""
    every = max(1, steps // 5)
    values = {
        "--max-steps": steps,
        "--logging-steps": 1,
        "--save-total-limit": "none",
        "--save-steps": every,
        "--eval-steps": 2 * every,
    }
    return [str(part) for flag_and_value in values.items() for part in flag_and_value]


def run_with_kills(
    flags: list[str], directory: Path, kills: int, draw_delay: Callable[[], float]
) -> int:
    """Run train.py to its end, killing and resuming it on the way.

    Args:
        flags: The flags of train.py, without its output directory.
        directory: The output directory.
        kills: How often to kill.
        draw_delay: Returns how many seconds of training to let pass before the next kill.

    Returns:
        How often the run was resumed.
    """
    done = resumes = 0
    while done < kills:
        delay = draw_delay()
        flags_now = resume_flags(flags, directory)
        resumes += "--resume" in flags_now
        if kill_after([*flags_now, "--output-dir", str(directory)], delay):
            done += 1
            progress = describe_progress(directory)
            print(f"kill {done} after {delay:.2f} s of training, {progress}", flush=True)
        else:  # it came to its end first: once more from the start
            shutil.rmtree(directory)
    last_flags = resume_flags(flags, directory)
    resumes += "--resume" in last_flags
    run_to_end([*last_flags, "--output-dir", str(directory)])
    return resumes


def resume_flags(flags: list[str], directory: Path) -> list[str]:
    """Return the flags that resume the run in `directory`, or start it without a checkpoint."""
    return [*flags, "--resume"] if (directory / CHECKPOINTS).is_dir() else flags


def start_training(flags: list[str]) -> subprocess.Popen[str]:
    """Start train.py and wait until its output directory is open; RunStopped if it ends before."""
    process = subprocess.Popen(
        [sys.executable, "-m", "qa", "train", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a process group, which `kill_after` kills
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
    """Run train.py and return the seconds it trained; RunStopped if it fails."""
    process = start_training(flags)
    started = time.perf_counter()
    output, _ = process.communicate()
    if process.returncode != 0:
        raise RunStopped(f"train.py failed with {process.returncode}:\n{output}", exit_code=1)
    return time.perf_counter() - started


def kill_after(flags: list[str], seconds: float) -> bool:
    """Run train.py and SIGKILL it after `seconds` of training; return false if it had ended."""
    process = start_training(flags)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        # The whole group: data workers that outlived it would keep its output open, and
        # `communicate` would wait for them.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    if process.returncode != 0:
        output, _ = process.communicate()
        raise RunStopped(f"train.py failed with {process.returncode}:\n{output}", exit_code=1)
    return False


def describe_progress(directory: Path) -> str:
    """Return a phrase on how far a run had come."""
    checkpoints = sorted((directory / CHECKPOINTS).glob("step-*"))
    return f"newest checkpoint {checkpoints[-1].name if checkpoints else 'none'}"
