"""The checkpoints of a run: what they hold, and what a run that is resumed takes from them."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import qa
from qa.engine.atomic_files import remove, restore_directory
from qa.engine.best_tracker import BestTracker
from qa.engine.checkpoint import list_checkpoints, load_newest_checkpoint, restore_checkpoints
from qa.engine.checkpoint_writer import CheckpointWriter
from qa.engine.console import print_main
from qa.engine.errors import RunStopped, require
from qa.engine.loop import TrainingRun
from qa.engine.tensorboard import has_point
from qa.outputs.directory import BEST, CHECKPOINTS, TENSORBOARD
from qa.outputs.prediction_files import PREDICTIONS_FILE
from qa.training.build import Job
from qa.training.resume import describe_new_length, require_same_run, run_identity


@dataclass(frozen=True)
class Resumed:
    """What a resumed run goes on with, besides its loop and its best evaluation."""

    curves: dict[str, Any]  # the means in progress
    evaluation_is_pending: bool  # a signal cut it short
    evaluation_is_drawn: bool  # but its points are in TensorBoard already


class RunCheckpoints:
    """Saves the whole state of a run, and loads it.

    Args:
        job: Its loop is saved and loaded.
        directory: The run's output directory; checkpoints lie in a folder of it.
        tracker: The best evaluation, saved and loaded with the loop.
    """

    def __init__(self, job: Job, directory: Path, tracker: BestTracker) -> None:
        self.job = job
        self.run = job.run
        self.world = job.run.world
        self.directory = directory
        self.tracker = tracker
        # Now: transformers adds to a model's configuration when it saves it.
        self.identity = run_identity(job)
        output = job.config.output
        self.writer = CheckpointWriter(
            directory / CHECKPOINTS, output.save_total_limit, output.async_save
        )

    def save(self, curves: dict[str, Any], evaluation_is_pending: bool) -> None:
        """Write a checkpoint; all processes give their part of the state.

        Args:
            curves: The means in progress.
            evaluation_is_pending: Whether the evaluation after this step was cut short.
        """
        state = {
            "run": self.run.state_dict(),
            "tracker": self.tracker.state_dict(),
            "log": curves,
            "pending_evaluation": evaluation_is_pending,
            "identity": self.identity,
            "total_steps": self.run.total_steps,
        }
        summary = {
            "epoch": self.run.epochs_consumed,
            "best": self.tracker.best,
            "qa_version": qa.__version__,
            "torch_version": torch.__version__,
            "identity": self.identity,
            "config": self.job.config.flat(),
        }
        best_step = (int(self.tracker.best["step"]),) if self.tracker.best else ()
        if self.world.is_main:
            self.writer.save(self.run.global_step, state, summary, keep_steps=best_step)

    def load_newest(self) -> Resumed | None:
        """Load the newest whole checkpoint; None if the run was killed before there was any.

        To be called before this run writes to TensorBoard, where it looks for points. UserError if
        the checkpoint is of another run, or the best model is missing.
        """
        directory = self.directory / CHECKPOINTS
        with self.world.main_first():  # it may have to restore one
            found = restore_checkpoints(directory)
        if not self.world.from_main(found):
            print_main(f"{directory}: no checkpoint yet, starting from the beginning")
            if self.world.is_main:
                remove(self.directory / TENSORBOARD)  # its points come again
            return None
        path, state = load_newest_checkpoint(directory, report=print_main)
        require("identity" in state, f"{path}: is not a checkpoint of train.py")
        require_same_run(state["identity"], self.identity)
        self.run.load_state_dict(state["run"])
        self.tracker.load_state_dict(state["tracker"])
        if self.tracker.best is not None:
            self._require_best(self.tracker.best)
        print_main(f"resuming from {path}")
        if sentence := describe_new_length(state["total_steps"], self.run):
            print_main(sentence)
        is_pending, step = state["pending_evaluation"], self.run.global_step
        is_drawn = is_pending and has_point(self.directory / TENSORBOARD, "eval/loss", step)
        return Resumed(state["log"], is_pending, is_drawn)

    def _require_best(self, best: dict[str, float]) -> None:
        """Raise UserError unless the best model and its predictions are there."""
        with self.world.main_first():
            restore_directory(self.directory / BEST)
        for name in (BEST, PREDICTIONS_FILE):
            require(
                (self.directory / name).exists(),
                f"{self.directory / name}: is missing, though step {best['step']} was the best; put"
                " it back, or start again with --overwrite",
            )


def run_failed(error: BaseException, directory: Path) -> RunStopped:
    """What ends a run whose system refused something: a write, a read, a worker, the network."""
    reason = str(error).strip()
    if isinstance(error, OSError):
        place = f": {os.fsdecode(error.filename)}" if error.filename else ""
        reason = f"{error.strerror or error}{place}"
    return RunStopped(f"error: the run failed ({reason}); {where_to_resume(directory)}", 1)


def step_out_of_memory(reason: str, step: int, directory: Path) -> RunStopped:
    """What ends a run whose step did not fit; what mends that makes another run of it."""
    return RunStopped(
        f"error: out of memory in step {step} ({reason}); start a new run with a lower"
        " --per-device-train-batch-size (and a higher --gradient-accumulation-steps, to keep their"
        " product) or a lower --max-seq-length; on a machine with more memory this run can go on:"
        f" {where_to_resume(directory)}",
        1,
    )


def evaluation_out_of_memory(reason: str, step: int, directory: Path) -> RunStopped:
    """What ends a run whose evaluation did not fit."""
    return RunStopped(
        f"error: out of memory in the evaluation after step {step} ({reason}); pass a lower"
        f" --per-device-eval-batch-size; {where_to_resume(directory)}",
        1,
    )


def run_stopped(number: signal.Signals, run: TrainingRun, directory: Path) -> RunStopped:
    """What ends a run after a signal; only the main process has something to say."""
    line = f"stopped by {number.name} after step {run.global_step}; {where_to_resume(directory)}"
    return RunStopped(line if run.world.is_main else "", 128 + number)


def where_to_resume(directory: Path) -> str:
    """How to go on with a run that stopped, for the end of a message."""
    checkpoints = list_checkpoints(directory / CHECKPOINTS)
    if not checkpoints:
        return "there is no checkpoint yet"
    return f"the last checkpoint is {checkpoints[-1]}; go on with --resume --output-dir {directory}"
