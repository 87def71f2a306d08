"""The session around the loop of train.py: directory, curves, evaluations, checkpoints, report."""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path

from qa.engine.best_tracker import BestTracker
from qa.engine.errors import out_of_memory
from qa.engine.json_files import write_json
from qa.engine.progress import progress_bar
from qa.engine.signals import StopSignals
from qa.engine.step_output import StepOutput
from qa.engine.step_trace import StepTrace
from qa.engine.tensorboard import TensorBoard
from qa.outputs.directory import CONFIG_FILE, CURVES_FILE, TENSORBOARD, TRACE_FILE, open_output
from qa.training.build import Job
from qa.training.card import write_card
from qa.training.curves import TrainingCurves
from qa.training.endings import ending_of, run_stopped
from qa.training.final_report import final_report
from qa.training.run_checkpoints import RunCheckpoints
from qa.training.validation import Validation


class Session:
    """One run in one output directory, a context: all processes have one, the main one writes.

    Args:
        job: The run, ready to start.
        signals: Notes the signals that end the run after the step in progress.
        resume: Go on from the newest checkpoint in the output directory, or from this one.
        overwrite: Remove what an earlier run wrote into the output directory.
        started: `time.perf_counter()` at the program's start.
    """

    def __init__(
        self, job: Job, signals: StopSignals, resume: bool | Path, overwrite: bool, started: float
    ) -> None:
        self.job, self.run, self.world = job, job.run, job.run.world
        self.signals, self.started = signals, started
        settings = job.config.evaluation
        self.tracker = BestTracker(settings.metric_for_best_model, settings.early_stopping_patience)
        with ExitStack() as opened:
            self._open(opened, resume, overwrite)
            self._opened = opened.pop_all()

    def _open(self, opened: ExitStack, resume: bool | Path, overwrite: bool) -> None:
        """Open the output directory and load what is to be resumed; closing `opened` undoes it."""
        output, settings = self.job.config.output, self.job.config.flat()
        is_main, recipe, path = self.world.is_main, self.job.config.recipe, Path()
        if is_main:
            early = None if resume else settings
            path = opened.enter_context(open_output(output.output_dir, recipe, early, overwrite))
        self.directory = self.world.from_main(path)
        self.checkpoints = RunCheckpoints(self.job, self.directory, self.tracker)
        opened.callback(self.checkpoints.writer.close)
        resumed = self.checkpoints.load(resume) if resume else None
        step, is_over = self.run.global_step, self.run.is_finished or self.tracker.should_stop
        if is_main and resume and not is_over:  # else it was made with the settings of before
            write_json(self.directory / CONFIG_FILE, settings)
        self.bar = progress_bar(self.run.total_steps, step, hidden=is_over or not is_main)
        self.trace = StepTrace(self.directory / TRACE_FILE if output.profile and is_main else None)
        opened.callback(self.trace.close)
        folder, lines = self.directory / TENSORBOARD, self.directory / CURVES_FILE
        self.tensorboard = TensorBoard(folder if is_main else None, step, lines)
        opened.callback(self.tensorboard.close)
        self.curves = TrainingCurves(self.run, self.tensorboard, self.bar, self.job.flops)
        should_abort = partial(self.signals.agree, self.world)
        parts = (self.job, self.directory, self.tensorboard, self.tracker)
        self.validation = Validation(*parts, self.print, should_abort, resumed)
        self.curves.begin(settings, None if resumed is None else resumed.curves)
        self.print(f"output: {self.directory}")

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.bar.close()
        # After a failed write the last ones to TensorBoard may fail too; the first one is reported.
        with suppress(OSError) if isinstance(error, OSError) else nullcontext():
            if self.validation.is_running and out_of_memory(error) and self.world.size == 1:
                with suppress(OSError, RuntimeError, MemoryError):  # then the last one must do
                    self.save()  # the model is as it was; several processes would all have to save
            self._opened.close()
        if ending := ending_of(error, self.run, self.directory, self.validation.is_running):
            raise ending from error

    @property
    def is_ending(self) -> bool:
        """Whether early stopping or a signal ends the run after this step."""
        return self.tracker.should_stop or self.signals.agreed is not None

    @property
    def is_stopped_early(self) -> bool:
        """Whether early stopping has ended the run before its last step."""
        return self.tracker.should_stop and not self.run.is_finished

    def print(self, line: str) -> None:
        """Print a line in the main process, without tearing the progress bar."""
        if self.world.is_main:
            self.bar.write(line)

    def finish_interrupted_evaluation(self) -> None:
        """Do the evaluation that the run which is resumed still owes, and restore a lost best/."""
        with self.curves.paused():
            self.validation.restore_best()
        if self.validation.is_pending:
            self.evaluate()
            self.save()  # so that another resume does not make the evaluation again

    def record(self, out: StepOutput) -> None:
        """Note a step's figures, a signal that came, and a failed write in the background."""
        if self.curves.num_recorded == 0:
            self.print(f"first step after {time.perf_counter() - self.started:.1f} s")
        self.curves.record(out)
        if self.trace.step():
            self.print(
                f"trace of a few steps: {self.trace.path}; open it in https://ui.perfetto.dev"
            )
        self.checkpoints.writer.check()
        self.signals.agree(self.world)

    def log(self, out: StepOutput) -> None:
        """Write the means since the last call into TensorBoard and onto the bar."""
        self.curves.write(out)

    def evaluate(self) -> None:
        """Score the held-out part; keep the model and its predictions if it is the best so far."""
        with self.curves.paused():
            self.validation.evaluate()

    def save(self) -> None:
        """Write a checkpoint from which `--resume` continues exactly."""
        with self.curves.paused():
            self.tensorboard.flush()  # a resumed run does not write the points up to here again
            self.checkpoints.save(self.curves.state_dict(), self.validation.is_pending)

    def finish(self) -> None:
        """Write the last files and print the report; raise RunStopped if a signal ended the run."""
        if self.is_stopped_early and self.signals.agreed is None:
            self.curves.write_last()  # before the waiting, which is no training
        self.checkpoints.writer.wait()
        # No process may exit before the checkpoint is written, or torchrun kills the others.
        self.world.from_main(None)
        if self.signals.agreed is not None:
            self.world.leave()
            raise run_stopped(self.signals.agreed, self.run, self.directory)
        if self.is_stopped_early:
            self.print(
                f"stopped early at step {self.run.global_step} of {self.run.total_steps}: no better"
                f" {self.tracker.metric} in {self.tracker.evaluations_since_best} evaluations"
                " (--early-stopping-patience; with a higher one --resume goes on)"
            )
        if not self.validation.is_wanted:
            self.validation.save_last()
        self.world.leave()
        if self.world.is_main:
            self.validation.write_metrics()
            self.validation.write_report()
            write_card(self.job, self.directory, self.tracker)
            samples, recipe = self.validation.samples(), self.job.config.recipe
            if limit := self.curves.limit.line():
                self.print(limit)
            self.bar.close()
            print(final_report(self.directory, recipe, self.tracker, samples), flush=True)
