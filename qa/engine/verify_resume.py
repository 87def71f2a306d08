"""Prove that a training script which is killed and run again ends with the same run, bit for bit.

    python -m qa.engine.verify_resume [--kills 5] SCRIPT [ARGUMENTS]

Among the arguments `{out}` stands for the directory that the script writes to, and from which it
goes on when it is run again. The script runs once without interruption. Then it is killed at random
moments and run again until it ends, and what both left is compared: every tensor, number and random
generator of the checkpoints, and every point of the curves. Exit code 0: it is the same; 1: it is
not; 2: nothing could be proved, e.g. since the script fails by itself. It needs a system that has
SIGKILL, so not Windows.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from qa.engine.errors import RunStopped, UserError, require
from qa.engine.program import LOOK_EVERY, Program, times_of_change
from qa.engine.run_differences import TIMES, checkpoints_in, run_differences

SHOWN = 3  # differences in a checkpoint

Differences = Callable[[Path, Path], Iterator[str]]


def verify(
    program: Program,
    root: Path,
    kills: int,
    seed: int,
    differences: Differences = run_differences,
) -> None:
    """Compare a run that is killed and resumed with an uninterrupted one, and print the verdict.

    Args:
        program: What is run.
        root: Where it is run, in "reference" and "killed", perhaps also in "again".
        kills: How often to kill it; a run that ends before that is compared, then begun anew.
        seed: Seed of the moments.
        differences: Yields the differences between two directories.

    Raises:
        RunStopped: The runs are not the same; exit code 1.
        UserError: Nothing could be proved.
    """
    require(kills >= 1, f"kills must be at least 1, not {kills}")
    require(hasattr(os, "killpg"), "this needs a system that has SIGKILL, so not Windows")
    reference, killed = root / "reference", root / "killed"
    print(f"a run without interruption, in {reference}", flush=True)
    seconds = program.run(reference) or 0.0
    last = newest_checkpoint(reference)
    require(last, "it writes no checkpoint; see save_checkpoint")
    moments = random.Random(seed)
    done = resumes = in_this_run = 0
    while True:
        newest, written = newest_checkpoint(killed), times_of_change(killed)
        is_between = newest not in ("", last)  # there is a checkpoint, and something left to do
        is_last = done >= kills and (resumes > 0 or is_between or done >= 3 * kills)
        moment = None if is_last or newest == last else moments.uniform(0, seconds)
        is_killed = program.run(killed, moment) is None
        if moment is not None and program.signal_name != "SIGKILL":
            # Told to stop, it may have saved and ended well, before the last step.
            is_killed |= newest_checkpoint(killed) != last
        again = [p for p, t in times_of_change(killed / newest).items() if t != written.get(p)]
        resumes += is_between and not again
        if is_killed:
            done, in_this_run = done + 1, in_this_run + 1
            found = newest_checkpoint(killed) or "none"
            print(f"kill {done} after {moment:.2f} s, newest checkpoint: {found}", flush=True)
            continue
        if different := list(differences(reference, killed)):
            raise RunStopped(tell(different, program, root, differences), exit_code=1)
        if is_last:
            break
        if not in_this_run:
            seconds /= 2
            require(seconds > LOOK_EVERY, "it ends before a kill can hit it: let it train longer")
        shutil.rmtree(killed)
        in_this_run = 0
    require(
        resumes,
        f"after none of {done} kills did it go on from a checkpoint: let it save more often, and"
        " load the newest one",
    )
    print(f"SAME: {done} kills, {resumes} resumes from a checkpoint, no difference")


def newest_checkpoint(directory: Path) -> str:
    """Return the place in a directory of the newest checkpoint, "" if there is none."""
    return ["", *checkpoints_in(directory)][-1]


def tell(found: list[str], program: Program, root: Path, differences: Differences) -> str:
    """Return the verdict on differences, after another run without interruption."""
    again = root / "again"
    print(f"there are differences; another run without interruption, in {again}", flush=True)
    program.run(again)
    if by_itself := next(differences(root / "reference", again), None):
        return (
            f"NOT DETERMINISTIC: two uninterrupted runs differ, too: {by_itself}\nseed everything,"
            " and let nothing depend on time"
        )
    curves = [each for each in found if each.startswith("curve ")]
    others = [each for each in found if each not in curves]
    shown = [*others[:SHOWN], *curves[:1]]
    more = [f"and {len(found) - len(shown)} more"] if len(found) > len(shown) else []
    return "\n".join([f"DIFFERENT: {shown[0]}", *shown[1:], *more, hint(found)])


def hint(found: list[str]) -> str:
    """Return where to look for the cause of these differences."""
    if any("/rng[" in each for each in found):
        return "random generators differ: does anything draw between load_state_dict and steps()?"
    if all(each.startswith("curve ") for each in found):
        return "only curves differ: pass the step from which the run goes on (resumed_at)"
    if all(each.startswith(("tensor ", "curve ")) for each in found):
        return (
            "no counter and no saved generator differs: is there a random draw, e.g. in a data"
            " worker, whose generator is in no checkpoint?"
        )
    return "is all that state_dict() returned loaded again?"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m qa.engine.verify_resume",
        description="Prove that a script which is killed and run again ends with the same run.",
    )
    parser.add_argument("--kills", type=int, default=5, help="how often to kill it (default 5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default 0)")
    parser.add_argument("--timeout", type=float, default=600, help="of a start, in s (default 600)")
    parser.add_argument("--signal", choices=("SIGKILL", "SIGTERM"), default="SIGKILL")
    parser.add_argument(
        "--ignore",
        action="append",
        default=[*TIMES],
        metavar="PREFIX",
        help="leave out curves whose names begin so, as those that measure time (also speed/)",
    )
    parser.add_argument("script", help="the training script")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, help="its arguments; {out} is where it writes"
    )
    options = parser.parse_args(arguments)
    words = [options.script, *options.arguments]
    root = Path(tempfile.mkdtemp(prefix="verify-resume-"))

    def command(directory: Path) -> list[str]:
        return [sys.executable, *(word.replace("{out}", str(directory)) for word in words)]

    try:
        require(Path(options.script).is_file(), f"{options.script}: there is no such script")
        require(
            any("{out}" in word for word in words),
            "write {out} where the script takes the directory it writes to, e.g. train.py {out}",
        )
        program = Program(command, options.timeout, options.signal)
        differences = partial(run_differences, times=options.ignore)
        verify(program, root, options.kills, options.seed, differences)
        code = 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except RunStopped as stopped:
        print(stopped)
        return stopped.exit_code  # and the runs stay, to be looked at
    shutil.rmtree(root)
    return code


if __name__ == "__main__":
    sys.exit(main())
