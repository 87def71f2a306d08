"""The checkpoints of a run: what they hold, and how a run is resumed from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import qa
from qa.engine.atomic_files import remove, restore_directory
from qa.engine.best_tracker import BestTracker
from qa.engine.checkpoint import (
    checkpoint_path,
    load_checkpoint,
    load_newest_checkpoint,
    remove_later,
    restore_checkpoints,
)
from qa.engine.checkpoint_writer import CheckpointWriter
from qa.engine.console import print_main
from qa.engine.errors import UserError, require
from qa.engine.json_files import read_json, write_json
from qa.engine.tensorboard import has_point
from qa.outputs.directory import BEST, CHECKPOINTS, METRICS_FILE, TENSORBOARD
from qa.outputs.prediction_files import PREDICTIONS_FILE
from qa.training.build import Job
from qa.training.resume import describe_new_length, require_same_run, run_identity


@dataclass(frozen=True)
class Resumed:
    """What a checkpoint holds besides the state of the loop and the best evaluation."""

    curves: dict[str, Any]  # the means in progress
    evaluation_is_pending: bool  # it was cut short, or never begun though the run is finished
    evaluation_is_drawn: bool  # that evaluation's points are in TensorBoard already
    best_weights: dict[str, torch.Tensor] | None  # to make best/ of again; None: it is there


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

    def load(self, which: Path | bool) -> Resumed | None:
        """Load a checkpoint; return None if the run was killed before there was any.

        To be called before this run writes to TensorBoard, where it looks for points.

        Args:
            which: The checkpoint; True: the newest one that is whole.

        Raises:
            UserError: The checkpoint is of another run, or best/ is lost and cannot be made again.
        """
        directory = self.directory / CHECKPOINTS
        with self.world.main_first():  # the main process may have to restore a checkpoint
            found = bool(restore_checkpoints(directory))
        if isinstance(which, Path):
            path, state = which, load_checkpoint(which)
        elif self.world.from_main(found):
            path, state = self._load_newest(directory)
        else:
            print_main(f"{directory}: no checkpoint yet, starting from the beginning")
            if self.world.is_main:
                remove(self.directory / TENSORBOARD)  # this run writes the same points again
            return None
        require("identity" in state, f"{path}: is not a checkpoint of train.py")
        require_same_run(state["identity"], self.identity)
        self.run.load_state_dict(state["run"])
        self.tracker.load_state_dict(state["tracker"])
        print_main(f"resuming from {path}")
        sentence = describe_new_length(state["total_steps"], self.run)
        if sentence and (self.run.is_finished or not self.tracker.should_stop):
            print_main(sentence)
        best_weights = self._lost_best(goes_back=isinstance(which, Path))
        if isinstance(which, Path) and self.world.is_main:
            # At once: a kill before the next save must not lead back to the course given up.
            self._forget_last_step()
            remove_later(directory, self.run.global_step)
        is_pending = state["pending_evaluation"] or self._is_unscored_end()
        step = self.run.global_step
        is_drawn = is_pending and has_point(self.directory / TENSORBOARD, "eval/loss", step)
        return Resumed(state["log"], is_pending, is_drawn, best_weights)

    def _load_newest(self, directory: Path) -> tuple[Path, dict[str, Any]]:
        """Return the newest checkpoint that the main process finds whole, and its state.

        Another process that cannot read it ends the run: with an older one it would train another
        model.
        """
        if self.world.is_main:
            path, state = load_newest_checkpoint(directory, report=print_main)
            self.world.from_main(path)
            return path, state
        path = self.world.from_main(Path())
        return path, load_checkpoint(path)

    def _forget_last_step(self) -> None:
        """Let metrics.json no longer say of which step best/ is, where nothing is scored.

        It is of the course that is given up, which may have had as many steps as the new one. If it
        is of the chosen step itself, nothing is given up.
        """
        path = self.directory / METRICS_FILE
        content = read_json(path, "scores") if path.exists() else {}
        if content.pop("step", None) not in (None, self.run.global_step):
            write_json(path, content)

    def _is_unscored_end(self) -> bool:
        """Whether all steps are made, but the last one's model was not scored, or is no best."""
        if not self.run.is_finished or not self.job.eval_examples:
            return False
        history, step = self.tracker.history, self.run.global_step
        if self.tracker.best is None:  # `_lost_best` gave it up
            self.tracker.history = [each for each in history if each["step"] != step]
            return True
        return history[-1]["step"] != step

    def _lost_best(self, goes_back: bool) -> dict[str, torch.Tensor] | None:
        """Return the weights to make best/ of again; None if best/ is there or is not needed.

        best/ is lost if it was removed, or is of another step, since the run goes back to a
        checkpoint or went back to one before, or a kill came between an evaluation and the next
        checkpoint. The same evaluation may follow again, so that a best/ of a step that is still to
        come is left where there is no checkpoint to make the earlier one of.
        """
        best = self.tracker.best
        if best is None:
            return None
        with self.world.main_first():
            restore_directory(self.directory / BEST)
        place, step = self.directory / BEST, int(best["step"])
        is_there = all((self.directory / name).exists() for name in (BEST, PREDICTIONS_FILE))
        on_disk = self._best_step_on_disk()
        is_there, on_disk = self.world.from_main((is_there, on_disk))
        is_ahead = on_disk is not None and self.run.global_step < on_disk <= self.run.total_steps
        if is_there and on_disk in (None, step):
            return None
        path = checkpoint_path(self.directory / CHECKPOINTS, step)
        is_kept = self.world.from_main(path.is_dir())
        if self.job.config.train.sharding == "none" and is_kept:
            weights = self._weights_in(path)
            if weights is not None:
                what = f"not of step {step}" if is_there else "lost"
                print_main(f"{place}: is {what}; making it again from {path}")
                return weights
        if is_there and is_ahead and not goes_back:
            return None
        require(
            is_there,
            f"{place}: is missing, though step {step} was the best, and cannot be made again"
            " without a whole checkpoint of that step (nor of a sharded model); put it back, or"
            " start again with --overwrite",
        )
        print_main(f"{place}: is not of step {step}; the next evaluation's model takes its place")
        self.tracker.best = None
        return None

    def _weights_in(self, path: Path) -> dict[str, torch.Tensor] | None:
        """Return the weights of a checkpoint; None if the main process finds it damaged."""
        weights: dict[str, torch.Tensor] | None = None
        if self.world.is_main:
            try:
                weights = load_checkpoint(path)["run"]["model"]
            except UserError as error:
                print_main(f"not used: {error}")
        is_whole = self.world.from_main(weights is not None)
        if is_whole and weights is None:  # another process: it ends the run if it cannot read it
            weights = load_checkpoint(path)["run"]["model"]
        return weights

    def _best_step_on_disk(self) -> int | None:
        """Return the step whose model is in best/; None if it is not known."""
        path = self.directory / METRICS_FILE
        written = read_json(path, "scores").get("best") if path.exists() else None
        step = written.get("step") if isinstance(written, dict) else None
        return step if isinstance(step, int) else None
