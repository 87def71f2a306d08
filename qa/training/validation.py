"""The evaluations of a run: they keep the best model, its predictions, curves and metrics.json."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qa.data.examples import Example
from qa.data.windows.cache import read_rows
from qa.engine.atomic_files import replace_directory
from qa.engine.best_tracker import BestTracker
from qa.engine.json_files import read_json, write_json
from qa.engine.tensorboard import TensorBoard
from qa.evaluation.evaluate import Evaluation, evaluate
from qa.evaluation.null_threshold import has_unanswerable
from qa.outputs.directory import BEST, METRICS_FILE
from qa.outputs.prediction_files import PredictionFiles
from qa.report.error_shares import error_shares
from qa.training.build import Job
from qa.training.final_report import read_predictions, sample_answers, samples_as_markdown
from qa.training.run_checkpoints import Resumed
from qa.training.run_report import write_report


class Validation:
    """The evaluations of a run, in its output directory.

    With many processes every one has a Validation and calls the same methods; the main one writes.

    Args:
        job: The run; without `eval_examples` there is nothing to evaluate.
        directory: The run's output directory.
        tensorboard: Takes the scores' curves.
        tracker: Follows the evaluations and knows the best one.
        report: Takes lines for people.
        should_abort: Asked between blocks of questions; true cuts an evaluation short.
        resumed: What the run goes on with; None if it starts from the beginning.
    """

    def __init__(
        self,
        job: Job,
        directory: Path,
        tensorboard: TensorBoard,
        tracker: BestTracker,
        report: Callable[[str], None],
        should_abort: Callable[[], bool],
        resumed: Resumed | None,
    ) -> None:
        self.job = job
        self.directory = directory
        self.tensorboard = tensorboard
        self.tracker = tracker
        self.report = report
        self.should_abort = should_abort
        # Whether an evaluation was cut short or never begun, so that it is still to be made.
        self.is_pending = resumed is not None and resumed.evaluation_is_pending
        self._best_weights = None if resumed is None else resumed.best_weights
        self._first_step = job.run.global_step  # from which this process goes on
        self.is_running = False  # so that an error can be told as one of an evaluation
        # Whether the points of the next evaluation are in TensorBoard already.
        self.is_drawn = resumed is not None and resumed.evaluation_is_drawn
        if not self.is_wanted:
            patience = job.config.evaluation.early_stopping_patience
            report(
                "no --eval-data and no --holdout: best/ will be the last model, not scored"
                + ("" if patience is None else ", and early_stopping_patience stops nothing")
            )

    @property
    def is_wanted(self) -> bool:
        """Whether there is a held-out part."""
        return bool(self.job.eval_examples)

    def evaluate(self) -> None:
        """Score the held-out part; keep the model and its predictions if it is the best so far."""
        if not self.is_wanted:
            return
        self.is_running = self.is_pending = True
        with PredictionFiles(self.directory if self.job.run.world.is_main else None) as files:
            result = self._answer(files)
            self.is_pending = result is None
            if result is not None:
                step = self.job.run.global_step
                is_best = self.tracker.update(step, {**result.metrics, **result.other_metrics})
                if is_best:
                    self.save_best(result.threshold)
                    files.commit()
        self.is_running = False
        if result is not None:
            self._report(result, step, is_best)

    def restore_best(self) -> None:
        """Make best/ and its predictions again if they are lost, of the best step's weights.

        The model is put back afterwards, so that the training goes on as if nothing had happened.
        """
        if self._best_weights is None:
            return
        model = self.job.run.model
        current = {name: value.clone() for name, value in model.state_dict().items()}
        try:
            model.load_state_dict(self._best_weights)
            with PredictionFiles(self.directory if self.job.run.world.is_main else None) as files:
                result = self._answer(files)
                if result is not None:
                    self.save_best(result.threshold)
                    files.commit()
                    self._best_weights = None
        finally:
            model.load_state_dict(current)
        # They tell of which step best/ is: of another one, still, if a signal came.
        if self._best_weights is None and self.job.run.world.is_main:
            self.write_metrics()

    def save_best(self, threshold: float | None) -> None:
        """Write best/; all processes must call this, since each may hold a part of the weights.

        Of a question whose null odds are above `threshold` the saved Reader says that it has no
        answer; with None it never does.
        """
        weights = self.job.run.weights()
        if self.job.run.world.is_main:
            if not self.directory.is_dir():  # a person removed it: do not make it again in silence
                raise FileNotFoundError(
                    errno.ENOENT, os.strerror(errno.ENOENT), str(self.directory)
                )
            self.job.reader.null_score_diff_threshold = threshold
            with replace_directory(self.directory / BEST) as directory:
                self.job.reader.save_pretrained(directory, weights)

    def save_last(self) -> None:
        """Write best/ of the last model, which was not scored; not again, if it is there.

        What a person wrote into its card, or `qa evaluate --keep` into its settings, would be lost.
        """
        path = self.directory / METRICS_FILE
        told = read_json(path, "scores").get("step") if path.exists() else None
        is_same = told == self.job.run.global_step == self._first_step
        is_there = is_same and (self.directory / BEST).is_dir()
        if not self.job.run.world.from_main(is_there):
            self.save_best(self.job.threshold)

    def samples(self) -> list[tuple[Example, str]]:
        """Return some questions with the best model's answers; [] without a held-out part."""
        if not self.is_wanted:
            return []
        return sample_answers(self.job.eval_examples, read_predictions(self.directory))

    def write_report(self) -> None:
        """Write report.html on the best model's answers; nothing without a held-out part."""
        if self.is_wanted:
            fits = self.job.config.decoding.temperature is None
            write_report(self.directory, self.job.eval_examples, fits)

    def write_metrics(self) -> None:
        """Write metrics.json, which holds the best evaluation and all of them."""
        content: dict[str, Any] = {
            "metric_for_best_model": self.tracker.metric,
            "best": self.tracker.best,
            "history": self.tracker.history,
        }
        if not self.is_wanted:
            content["step"] = self.job.run.global_step  # whose model is in best/
        write_json(self.directory / METRICS_FILE, content)

    def _answer(self, files: PredictionFiles) -> Evaluation | None:
        """Answer and score the held-out questions; return None if that was cut short."""
        job = self.job
        tunes = job.config.decoding.null_score_diff_threshold is None and has_unanswerable(
            job.eval_examples
        )
        with job.run.evaluation():
            return evaluate(
                job.reader.answerer,
                job.eval_examples,
                read_rows(job.eval_windows),
                files=files,
                world=job.run.world,
                should_abort=self.should_abort,
                # A sharded model runs in all processes at once, so all must answer the same block.
                shards_blocks=job.config.train.sharding == "none",
                threshold=None if tunes else job.threshold,
                tunes=tunes,
            )

    def _report(self, result: Evaluation, step: int, is_best: bool) -> None:
        """Report an evaluation to people, TensorBoard and metrics.json."""
        if not self.is_drawn and self.job.run.world.is_main:
            self._write_curves(result, step)
        self.report(describe_evaluation(result, step, is_best))
        if self.job.run.world.is_main:
            self.write_metrics()
            if is_best and not self.is_drawn:
                self.tensorboard.text("samples", samples_as_markdown(self.samples()), step)
        self.is_drawn = False

    def _write_curves(self, result: Evaluation, step: int) -> None:
        """Write an evaluation's points into the curves."""
        points = {"eval/loss": result.eval_loss}
        for name, value in result.other_metrics.items():
            if not name.endswith("total"):
                points[f"eval/{name}"] = value
        if result.threshold is not None:
            points["eval/null_score_diff_threshold"] = result.threshold
            self.tensorboard.pr_curve("eval/has_answer", result.has_answer, -result.null_odds, step)
        for name, value in error_shares(result, self.job.eval_examples).items():
            points[f"errors/{name}"] = value
        self.tensorboard.scalars(points, step)


def describe_evaluation(result: Evaluation, step: int, is_best: bool) -> str:
    """Return a line on an evaluation, for people."""
    main = result.metrics
    outside = result.outside_context
    share = 100 * result.decode_seconds / result.seconds
    return (
        f"step {step}: EM {main['exact_match']:.2f}  F1 {main['f1']:.2f}"
        f"{'' if outside is None else f'  outside the context {outside:.2f} %'}"
        f"  eval loss {main['eval_loss']:.4f}{'  (best so far)' if is_best else ''}"
        f"  [{result.seconds:.1f} s, decoding and scoring {share:.1f} %]"
    )
