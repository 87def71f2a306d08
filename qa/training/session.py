"""What surrounds the loop of `train.py`: directory, curves, evaluation, checkpoints, report."""

from __future__ import annotations

import errno
import json
import os
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

import qa
from qa.cli.train_flags import Command
from qa.data.windows.cache import iterate_rows
from qa.engine.atomic_files import remove, replace_directory, restore_directory, write_json
from qa.engine.best_tracker import BestTracker
from qa.engine.checkpoint import (
    list_checkpoints,
    load_newest_checkpoint,
    restore_checkpoints,
)
from qa.engine.checkpoint_writer import CheckpointWriter
from qa.engine.console import print_main
from qa.engine.errors import RunStopped, require
from qa.engine.lock import RunLock
from qa.engine.loop import StepOutput
from qa.engine.progress import progress_bar
from qa.engine.signals import STOP_SIGNALS, StopSignals
from qa.engine.step_trace import StepTrace
from qa.engine.tensorboard import TensorBoard, has_point
from qa.evaluation.evaluate import Evaluation, evaluate
from qa.evaluation.null_threshold import has_unanswerable
from qa.outputs.directory import (
    BEST,
    CHECKPOINTS,
    CONFIG_FILE,
    TENSORBOARD,
    TRACE_FILE,
    clear_output,
    make_output,
)
from qa.outputs.prediction_files import PREDICTIONS_FILE, PredictionFiles
from qa.training.build import Job
from qa.training.curves import TrainingLog
from qa.training.final_report import final_report
from qa.training.resume import describe_new_length, require_same_run, run_identity
from qa.training.validation import EvaluationLog, describe_evaluation


class Session:
    """One run of `train.py` in one output directory.

    With many processes every one has a Session and calls the same methods; the main one writes.
    """

    def __init__(self, job: Job, command: Command, signals: StopSignals) -> None:
        self.job = job
        self.config = job.config
        self.run = job.run
        self.world = job.run.world
        self.signals = signals
        self.stop_signal = 0  # its number, once all processes know of it
        self.evaluates = bool(job.eval_examples)
        self.pending_evaluation = False  # a signal cut it short
        evaluation = job.config.evaluation
        self.tracker = BestTracker(
            evaluation.metric_for_best_model, evaluation.early_stopping_patience
        )
        # Now: transformers adds to a model's configuration when it saves it.
        self.identity = run_identity(job, job.config)
        with ExitStack() as opened:
            self._open(command, opened)
            self._opened = opened.pop_all()

    def _open(self, command: Command, opened: ExitStack) -> None:
        """Open the output directory and load what is to be resumed; `opened` undoes it."""
        output = self.config.output
        self.directory = self._open_directory(command, opened)
        state = self._load_newest() if command.resume else None
        if self.world.is_main:  # first, so that a run which is killed here can be resumed
            write_json(self.directory / CONFIG_FILE, self.config.flat())
        checkpoints = self.directory / CHECKPOINTS
        self.writer = CheckpointWriter(checkpoints, output.save_total_limit, output.async_save)
        self.first_step = self.run.global_step + 1
        opened.callback(self.writer.close)
        # Read before this run writes: a resumed run may have drawn the evaluation it still owes.
        self.is_drawn = self.pending_evaluation and has_point(
            self.directory / TENSORBOARD, "eval/loss", self.run.global_step
        )
        self.tensorboard = TensorBoard(
            self.directory / TENSORBOARD if self.world.is_main else None, self.run.global_step
        )
        opened.callback(self.tensorboard.close)
        self.bar = progress_bar(
            self.run.total_steps, self.run.global_step, hidden=not self.world.is_main
        )
        self.log = TrainingLog(self.run, self.tensorboard, self.bar, self.job.flops)
        self.evaluation_log = EvaluationLog(
            self.directory, self.tensorboard, self.tracker, self.job.eval_examples
        )
        self.trace = StepTrace(self.trace_file if output.profile and self.world.is_main else None)
        opened.callback(self.trace.close)
        if state is None:
            text = json.dumps(self.config.flat(), indent=2)
            self.tensorboard.text("config", f"```json\n{text}\n```")
        else:
            self.log.load_state_dict(state["log"])
        self.say(f"output: {self.directory}")
        if not self.evaluates:
            self.say("no --eval-data and no --holdout: best/ will be the last model, not scored")

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.close()
        # After a failed write the last ones to TensorBoard may fail too: the first is to be told.
        with suppress(OSError) if isinstance(error, OSError) else nullcontext():
            self._opened.close()
        if isinstance(error, OSError):
            reason = f"{error.strerror or error}" + (
                f": {error.filename}" if error.filename else ""
            )
            raise RunStopped(
                f"error: writing to {self.directory} failed ({reason}); {self._where_to_resume()}",
                exit_code=1,
            ) from error

    @property
    def trace_file(self) -> Path:
        """Where --profile writes."""
        return self.directory / TRACE_FILE

    @property
    def is_ending(self) -> bool:
        """Whether early stopping or a signal asks for the end."""
        return self.tracker.should_stop or bool(self.stop_signal)

    @property
    def is_finished(self) -> bool:
        """Whether a resumed run had already come to its end."""
        return self.is_ending or self.run.global_step >= self.run.total_steps

    def say(self, line: str) -> None:
        """Print a line, once, without tearing the progress bar."""
        if self.world.is_main:
            self.bar.write(line)

    def take(self, out: StepOutput) -> None:
        """Take in a step: its figures, a signal that came, a failed write in the background."""
        self.log.add(out)
        if self.trace.step():
            self.say(f"trace of a few steps: {self.trace_file}; open it in https://ui.perfetto.dev")
        self.writer.check()
        self._agree_on_signals()

    def catch_up(self) -> None:
        """Do the evaluation that a signal cut short before this run was resumed."""
        if self.pending_evaluation:
            self.evaluate()
            self.save()  # no resume is to do it again

    def evaluate(self) -> None:
        """Score the held-out part; keep the model and its predictions if it is the best so far."""
        if not self.evaluates:
            return
        self.log.rates.pause()
        self._check_health()
        files = PredictionFiles(self.directory) if self.world.is_main else None
        with files or nullcontext():
            result = self._evaluate(files)
            is_best = result is not None and self._note(result)
            if is_best:
                assert result is not None
                self._save_best(result.threshold)
                if files is not None:
                    files.commit()
        self.pending_evaluation = result is None
        if result is not None:
            self._report(result, is_best)
        self.log.rates.resume()

    def save(self) -> None:
        """Write a checkpoint from which `--resume` continues exactly."""
        self.log.rates.pause()
        self._check_health()
        self.tensorboard.flush()  # a resumed run relies on every point up to here
        state = {
            "run": self.run.state_dict(),
            "tracker": self.tracker.state_dict(),
            "log": self.log.state_dict(),
            "pending_evaluation": self.pending_evaluation,
            "identity": self.identity,
            "total_steps": self.run.total_steps,
        }
        summary = {
            "epoch": self.run.epochs_consumed,
            "best": self.tracker.best,
            "qa_version": qa.__version__,
            "torch_version": torch.__version__,
            "identity": self.identity,
            "config": self.config.flat(),
        }
        best_step = (int(self.tracker.best["step"]),) if self.tracker.best else ()
        if self.world.is_main:
            self.writer.save(self.run.global_step, state, summary, keep_steps=best_step)
        self.log.rates.resume()

    def finish(self) -> None:
        """Write the last files and print the report; RunStopped if a signal ended the run."""
        self.writer.wait()
        # None leaves before the checkpoint is written: torchrun ends all when one does.
        self.world.from_main(None)
        if self.stop_signal:
            name = self.signals.name(self.stop_signal)
            line = f"stopped by {name} after step {self.run.global_step}; {self._where_to_resume()}"
            self.world.leave()
            raise RunStopped(line if self.world.is_main else "", 128 + self.stop_signal)
        if not self.evaluates:
            self._save_best(self.config.decoding.null_score_diff_threshold)
        self.world.leave()
        if not self.world.is_main:
            return
        self.evaluation_log.write_metrics()
        samples = self.evaluation_log.samples() if self.evaluates else []
        self.bar.close()
        print(final_report(self.directory, self.config.recipe, self.tracker, samples), flush=True)

    def _open_directory(self, command: Command, opened: ExitStack) -> Path:
        """Make and lock the output directory; every process learns its name."""
        path = None
        if self.world.is_main:
            path = make_output(self.config.output.output_dir, self.config.recipe)
            opened.callback(RunLock(path).release)
            if command.overwrite:
                clear_output(path)
        directory: Path = self.world.from_main(path)
        return directory

    def _load_newest(self) -> dict[str, Any] | None:
        """Load the newest whole checkpoint into run and tracker; None if there was none yet."""
        directory = self.directory / CHECKPOINTS
        with self.world.main_first():  # it may have to restore one
            checkpoints = restore_checkpoints(directory)
        if not self.world.from_main(checkpoints):
            print_main(f"{directory}: no checkpoint yet, starting from the beginning")
            if self.world.is_main:
                remove(self.directory / TENSORBOARD)  # its points come again
            return None
        path, state = load_newest_checkpoint(directory, report=print_main)
        require("identity" in state, f"{path}: is not a checkpoint of train.py")
        require_same_run(state["identity"], self.identity)
        self.run.load_state_dict(state["run"])
        self.tracker.load_state_dict(state["tracker"])
        self.pending_evaluation = state["pending_evaluation"]
        if self.tracker.best is not None:
            with self.world.main_first():
                restore_directory(self.directory / BEST)
            for name in (BEST, PREDICTIONS_FILE):
                require(
                    (self.directory / name).exists(),
                    f"{self.directory / name}: is missing, though step {self.tracker.best['step']}"
                    " was the best; put it back, or start again with --overwrite",
                )
        print_main(f"resuming from {path}")
        if statement := describe_new_length(state["total_steps"], self.run):
            print_main(statement)
        return state

    def _agree_on_signals(self) -> None:
        """Let all processes stop after the same step."""
        counts = self.world.sum_ints([int(self.signals.received == n) for n in STOP_SIGNALS])
        agreed = [int(n) for n, count in zip(STOP_SIGNALS, counts, strict=True) if count]
        self.stop_signal = agreed[0] if agreed else 0

    def _evaluate(self, files: PredictionFiles | None) -> Evaluation | None:
        job = self.job
        threshold = self.config.decoding.null_score_diff_threshold
        return evaluate(
            job.reader.answerer,
            job.eval_examples,
            iterate_rows(job.eval_windows),
            files=files,
            world=self.world,
            should_abort=self._must_abort,
            # A sharded model runs in all processes at once, so all answer the same block.
            shards_blocks=self.config.train.sharding == "none",
            threshold=threshold,
            tunes=threshold is None and has_unanswerable(job.eval_examples),
        )

    def _check_health(self) -> None:
        """Stop rather than score or save a model whose numbers went bad."""
        self.log.sickness.check(self.run.learning_rate(self.run.global_step - 1))

    def _save_best(self, threshold: float | None = None) -> None:
        """Write best/; all processes give their part of the weights. threshold: on null odds."""
        weights = self.run.weights()
        if self.world.is_main:
            if not self.directory.is_dir():  # removed while running
                raise FileNotFoundError(
                    errno.ENOENT, os.strerror(errno.ENOENT), str(self.directory)
                )
            with replace_directory(self.directory / BEST) as directory:
                self.job.reader.null_score_diff_threshold = threshold
                self.job.reader.save_pretrained(directory, weights)

    def _must_abort(self) -> bool:
        self._agree_on_signals()
        return bool(self.stop_signal)

    def _note(self, result: Evaluation) -> bool:
        """Record an evaluation; true if it is the best so far."""
        return self.tracker.update(
            self.run.global_step, {**result.metrics, **result.metrics_by_score}
        )

    def _report(self, result: Evaluation, is_best: bool) -> None:
        """Tell people and TensorBoard of an evaluation."""
        step = self.run.global_step
        if not self.is_drawn:
            self.evaluation_log.draw(result, step)
        self.say(describe_evaluation(result, step, is_best))
        if self.world.is_main:
            self.evaluation_log.write_metrics()
            if is_best and not self.is_drawn:
                self.evaluation_log.draw_samples(step)
        self.is_drawn = False

    def _where_to_resume(self) -> str:
        checkpoints = list_checkpoints(self.directory / CHECKPOINTS)
        if not checkpoints:
            return "there is no checkpoint yet"
        return (
            f"the last checkpoint is {checkpoints[-1]}; go on with --resume --output-dir"
            f" {self.directory}"
        )
