"""The checkpoints of a run: what they hold, and how a run is resumed from them."""

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
    """What a checkpoint holds besides the state of the loop and the best evaluation."""

    curves: dict[str, Any]  # the means in progress
    evaluation_is_pending: bool  # a signal cut an evaluation short, so it is still to be made
    evaluation_is_drawn: bool  # that evaluation's points are in TensorBoard already


class RunCheckpoints:
    """Saves the whole state of a run, and loads it.

    With many processes every one has RunCheckpoints and calls the same methods; the main one
    writes.

    Args:
        job: The run whose loop is saved and loaded.
        directory: The run's output directory; the checkpoints are in a folder of it.
        tracker: The best evaluation, saved and loaded with the loop.
    """

    def __init__(self, job: Job, directory: Path, tracker: BestTracker) -> None:
        self.job = job
        self.run = job.run
        self.world = job.run.world
        self.directory = directory
        self.tracker = tracker
        # Computed now, since transformers adds to a model's configuration when it saves the model.
        self.identity = run_identity(job)
        output = job.config.output
        self.writer = CheckpointWriter(
            directory / CHECKPOINTS, output.save_total_limit, output.async_save
        )

    def save(self, curves: dict[str, Any], evaluation_is_pending: bool) -> None:
        """Write a checkpoint of the loop, the means in progress and the best evaluation.

        All processes must call this, since each holds a part of the state. `evaluation_is_pending`
        tells that the evaluation after this step was cut short.
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
        """Load the newest whole checkpoint; return None if the run was killed before there was any.

        To be called before this run writes to TensorBoard, where it looks for points.

        Raises:
            UserError: The checkpoint is of another run, or the best model is missing.
        """
        directory = self.directory / CHECKPOINTS
        with self.world.main_first():  # the main process may have to restore a checkpoint
            found = restore_checkpoints(directory)
        if not self.world.from_main(found):
            print_main(f"{directory}: no checkpoint yet, starting from the beginning")
            if self.world.is_main:
                remove(self.directory / TENSORBOARD)  # this run writes the same points again
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


def run_failed(error: OSError, directory: Path) -> RunStopped:
    """Return the exception that ends a run after an OSError: of a disk, a worker, the network."""
    file = f": {os.fsdecode(error.filename)}" if error.filename else ""
    reason = f"{error.strerror or error}{file}"
    return RunStopped(f"error: the run failed ({reason}); {where_to_resume(directory)}", 1)


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
