"""Prove, on your own configuration, that a run which is killed and resumed is the same run.

    python -m qa verify-resume [--kills 10] [the flags of train.py]

It runs a short reference without interruption, runs the same again with SIGKILLs at random moments
and --resume, and compares every tensor, every random generator's state, the logged curves (except
speeds), the evaluations and the predictions. It needs a system with SIGKILL, so not Windows.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from qa.cli.parser import Parser, run_command
from qa.cli.run_differences import differences
from qa.cli.train_flags import make_parser, parse_arguments
from qa.engine.errors import UserError, require
from qa.outputs.directory import check_output

DEFAULT_STEPS = 20


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
    """Make both runs and compare them; RunStopped with code 1 if they differ."""
    from qa.engine.program import Program
    from qa.engine.verify_resume import verify as prove

    require(kills >= 1, f"--kills must be at least 1, not {kills}")
    flags = make_parser().in_own_flags(flags)  # flags of ours follow, which may say the same
    # Before they are parsed, which looks for a token of the hub.
    uploads = any(flag.partition("=")[0] == "--push-to-hub" for flag in flags)
    command = None if uploads else parse_arguments(flags)
    if command is None or command.resume or command.overwrite:
        raise UserError(
            "--list-recipes, --resume, --overwrite and --push-to-hub have no meaning here"
        )
    output_dir = command.config.output.output_dir
    root = Path(output_dir or tempfile.mkdtemp(prefix="qa-verify-"))
    steps = command.config.train.max_steps or DEFAULT_STEPS
    flags = [*flags, *short_run_flags(steps)]  # the last of two equal flags counts
    for directory in (root / "reference", root / "killed"):
        require(not directory.exists(), f"{directory}: exists already; pass another --output-dir")
        check_output(str(directory), resume=None, overwrite=False)

    def train(directory: Path) -> list[str]:
        resume = ["--resume"] if any(directory.iterdir()) else []
        own = ["--output-dir", str(directory), *resume]
        return [sys.executable, "-m", "qa", "train", *flags, *own]

    prove(Program(train), root, kills, seed, differences)
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
