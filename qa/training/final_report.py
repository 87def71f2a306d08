"""What a run prints at its end: scores, sample answers, what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from qa.data.examples import Example
from qa.engine.best_tracker import BestTracker
from qa.metrics import METRICS
from qa.metrics.table import score_table
from qa.outputs.directory import BEST, REPORT_FILE
from qa.outputs.prediction_files import PREDICTIONS_FILE
from qa.outputs.read_predictions import read_prediction_file

SAMPLES = 5  # questions that are shown with their answers


def read_predictions(directory: Path) -> dict[str, str]:
    """Return the {id: text} of a run's predictions.json."""
    return read_prediction_file(str(directory / PREDICTIONS_FILE))


def sample_answers(
    examples: Sequence[Example], predictions: dict[str, str]
) -> list[tuple[Example, str]]:
    """Return some examples, evenly spread over all, with their predicted answers."""
    last = len(examples) - 1
    chosen = sorted({i * last // max(1, SAMPLES - 1) for i in range(SAMPLES)})
    return [(examples[i], predictions.get(examples[i].id, "")) for i in chosen]


def samples_as_markdown(samples: Sequence[tuple[Example, str]]) -> str:
    """Return the samples as a Markdown table, for TensorBoard."""
    lines = ["| question | gold | predicted |", "|---|---|---|"]
    for example, predicted in samples:
        gold = ", ".join(dict.fromkeys(example.gold_answers))
        lines.append(f"| {example.question} | {gold} | {predicted} |")
    return "\n".join(lines)


def final_report(
    directory: Path, recipe: str, tracker: BestTracker, samples: Sequence[tuple[Example, str]]
) -> str:
    """Return the closing lines of a run.

    Args:
        directory: The run's output directory.
        recipe: Name of the run's recipe; after "quickstart" the report says what to do next.
        tracker: Knows the best evaluation and its scores.
        samples: Examples with their predicted answers.
    """
    lines = [""]
    for example, predicted in samples:
        lines.append(f"Q: {example.question}")
        lines.append(f"   gold: {', '.join(dict.fromkeys(example.gold_answers)) or '(none)'}")
        lines.append(f"   predicted: {predicted or '(none)'}")
    if tracker.best is not None:
        lines.append("")
        lines.append(f"best by {tracker.metric}: step {int(tracker.best['step'])}")
        lines.append(score_table(scores_by_metric(tracker.best)))
    model = shlex.quote(str(directory / BEST))
    lines.append("")
    lines.append(f"ask it:  python -m qa predict {model} --context '...' --question '...'")
    if tracker.best is not None:
        lines.append(
            f"errors:  {shlex.quote(str(directory / REPORT_FILE))}   (open it in a browser)"
        )
    lines.append(f"curves:  tensorboard --logdir {shlex.quote(str(directory.parent))}")
    if recipe == "quickstart":
        lines.append(
            "next:    python train.py --model DIR_OR_HUB_ID --train-data FILE.json --holdout 0.2"
            "   (your data, SQuAD format)"
        )
    lines.append(f"output:  {directory}")
    return "\n".join(lines)


def scores_by_metric(record: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return an evaluation's scores by metric: {"squad2_f1": 80} becomes {"squad2": {"f1": 80}}."""
    scores: dict[str, dict[str, float]] = {}
    for metric in METRICS:
        prefix = f"{metric}_"
        found = {k.removeprefix(prefix): v for k, v in record.items() if k.startswith(prefix)}
        if found:
            scores[metric] = found
    return scores
