"""How a run ends before its end: a line for people, an exit code, and where to go on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from qa.engine.checkpoint import list_checkpoints
from qa.engine.data_workers import is_worker_death
from qa.engine.errors import RunStopped, out_of_memory
from qa.engine.loop import TrainingRun
from qa.outputs.directory import CHECKPOINTS


def ending_of(
    error: BaseException | None, run: TrainingRun, directory: Path, is_evaluating: bool
) -> RunStopped | None:
    """Return what ends a run after an error of the machine; None after any other, or without one.

    Args:
        error: What left the loop.
        run: The run, after its last whole step.
        directory: Its output directory.
        is_evaluating: Whether the error came in an evaluation.
    """
    if error is not None and (isinstance(error, OSError) or is_worker_death(error)):
        return run_failed(error, directory)
    if (reason := out_of_memory(error)) is None:
        return None
    if is_evaluating:
        return evaluation_out_of_memory(reason, run.global_step, directory)
    return step_out_of_memory(reason, run.global_step + 1, directory)


def run_failed(error: BaseException, directory: Path) -> RunStopped:
    """Return the exception that ends a run after an error of a disk, a data worker, the network."""
    reason = str(error).strip()
    if isinstance(error, OSError):
        file = f": {os.fsdecode(error.filename)}" if error.filename else ""
        reason = f"{error.strerror or error}{file}"
    return RunStopped(f"error: the run failed ({reason}); {where_to_resume(directory)}", 1)


def step_out_of_memory(reason: str, step: int, directory: Path) -> RunStopped:
    """Return what ends a run whose step did not fit; what mends that makes another run of it."""
    return RunStopped(
        f"error: out of memory in step {step} ({reason}); start a new run with a lower"
        " --per-device-train-batch-size (and a higher --gradient-accumulation-steps, to keep their"
        " product) or a lower --max-seq-length; on a machine with more memory this run can go on:"
        f" {where_to_resume(directory)}",
        1,
    )


def evaluation_out_of_memory(reason: str, step: int, directory: Path) -> RunStopped:
    """Return what ends a run whose evaluation did not fit."""
    return RunStopped(
        f"error: out of memory in the evaluation after step {step} ({reason}); pass a lower"
        f" --per-device-eval-batch-size; {where_to_resume(directory)}",
        1,
    )


def run_stopped(number: signal.Signals, run: TrainingRun, directory: Path) -> RunStopped:
    """Return the exception that ends a run after a signal; only the main process prints a line."""
    line = f"stopped by {number.name} after step {run.global_step}; {where_to_resume(directory)}"
    return RunStopped(line if run.world.is_main else "", 128 + number)


def where_to_resume(directory: Path) -> str:
    """Return how to go on with a run that stopped, for the end of a message."""
    checkpoints = list_checkpoints(directory / CHECKPOINTS)
    if not checkpoints:
        return "there is no checkpoint yet"
    return f"the last checkpoint is {checkpoints[-1]}; go on with --resume --output-dir {directory}"
