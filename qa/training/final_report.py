"""What a run prints at its end: scores, sample answers, what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from qa.data.examples import Example
from qa.engine.best_tracker import BestTracker
from qa.metrics import METRICS
from qa.metrics.table import score_table
from qa.outputs.directory import BEST
from qa.outputs.prediction_files import PREDICTIONS_FILE, read_prediction_file

SAMPLES = 5


def read_predictions(directory: Path) -> dict[str, str]:
    """The {id: text} of a run's predictions.json."""
    return read_prediction_file(str(directory / PREDICTIONS_FILE))


def sample_answers(
    examples: Sequence[Example], predictions: dict[str, str]
) -> list[tuple[Example, str]]:
    """Some examples, evenly spread, with their predicted answers."""
    last = len(examples) - 1
    chosen = sorted({i * last // max(1, SAMPLES - 1) for i in range(SAMPLES)})
    return [(examples[i], predictions.get(examples[i].id, "")) for i in chosen]


def samples_as_markdown(samples: Sequence[tuple[Example, str]]) -> str:
    """The samples as a table for TensorBoard."""
    lines = ["| question | gold | predicted |", "|---|---|---|"]
    for example, predicted in samples:
        gold = ", ".join(dict.fromkeys(example.gold_answers))
        lines.append(f"| {example.question} | {gold} | {predicted} |")
    return "\n".join(lines)


def final_report(
    directory: Path, recipe: str, tracker: BestTracker, samples: Sequence[tuple[Example, str]]
) -> str:
    """The closing lines of a run."""
    lines = [""]
    for example, predicted in samples:
        lines.append(f"Q: {example.question}")
        lines.append(f"   gold: {', '.join(dict.fromkeys(example.gold_answers)) or '(none)'}")
        lines.append(f"   predicted: {predicted or '(none)'}")
    if tracker.best is not None:
        best = tracker.best
        found = {
            name: {
                key.removeprefix(f"{name}_"): value
                for key, value in best.items()
                if key.startswith(f"{name}_")
            }
            for name in METRICS
        }
        scores = {name: values for name, values in found.items() if values}
        lines.append("")
        lines.append(f"best by {tracker.metric}: step {int(best['step'])}")
        lines.append(score_table(scores))
    model = shlex.quote(str(directory / BEST))
    lines.append("")
    lines.append(f"ask it:  python -m qa predict {model} --context '...' --question '...'")
    lines.append(f"curves:  tensorboard --logdir {shlex.quote(str(directory.parent))}")
    if recipe == "quickstart":
        lines.append(
            "next:    python train.py --model DIR_OR_HUB_ID --train-data FILE.json --holdout 0.2"
            "   (your data, SQuAD format)"
        )
    lines.append(f"output:  {directory}")
    return "\n".join(lines)
