"""What a run's evaluations leave behind: curves, sample answers, metrics.json and lines to read."""

from __future__ import annotations

from pathlib import Path

from qa.data.examples import Example
from qa.engine.atomic_files import write_json
from qa.engine.best_tracker import BestTracker
from qa.engine.tensorboard import TensorBoard
from qa.evaluation.evaluate import Evaluation
from qa.outputs.directory import METRICS_FILE
from qa.training.final_report import read_predictions, sample_answers, samples_as_markdown


class EvaluationLog:
    """Writes evaluations to TensorBoard and to a run's directory; the main process's only."""

    def __init__(
        self,
        directory: Path,
        tensorboard: TensorBoard,
        tracker: BestTracker,
        examples: list[Example],
    ) -> None:
        self.directory = directory
        self.tensorboard = tensorboard
        self.tracker = tracker
        self.examples = examples

    def draw(self, result: Evaluation, step: int) -> None:
        """Add an evaluation's points to the curves."""
        points = {"eval/loss": result.eval_loss}
        for name, value in result.metrics_by_score.items():
            if not name.endswith("total"):
                points[f"eval/{name}"] = value
        if result.threshold is not None:
            points["eval/null_score_diff_threshold"] = result.threshold
            self.tensorboard.pr_curve("eval/has_answer", result.has_answer, -result.null_odds, step)
        self.tensorboard.scalars(points, step)

    def draw_samples(self, step: int) -> None:
        """Show some answers of the best model as text."""
        self.tensorboard.text("samples", samples_as_markdown(self.samples()), step)

    def samples(self) -> list[tuple[Example, str]]:
        """Some questions with the best model's answers."""
        return sample_answers(self.examples, read_predictions(self.directory))

    def write_metrics(self) -> None:
        """metrics.json: the best evaluation and all of them."""
        content = {
            "metric_for_best_model": self.tracker.metric,
            "best": self.tracker.best,
            "history": self.tracker.history,
        }
        write_json(self.directory / METRICS_FILE, content)


def describe_evaluation(result: Evaluation, step: int, is_best: bool) -> str:
    """A line for people."""
    main = result.metrics
    share = 100 * result.decode_seconds / result.seconds
    return (
        f"step {step}: EM {main['exact_match']:.2f}  F1 {main['f1']:.2f}"
        f"  eval loss {main['eval_loss']:.4f}{'  (best so far)' if is_best else ''}"
        f"  [{result.seconds:.1f} s, decoding and scoring {share:.1f} %]"
    )
