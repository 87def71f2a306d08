"""The official scores of prediction files, of whatever program; no model is loaded.

python -m qa score predictions.json --data FILE.json --metric korquad1
python -m qa score a.json b.json --data FILE.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from qa.cli.parser import Parser, run_command
from qa.cli.scored_data import add_flags, read_questions
from qa.cli.startup import prepare_hub
from qa.engine.errors import first_few, require
from qa.metrics import DEFAULT_METRICS, Score
from qa.metrics.compare import Difference, compare
from qa.metrics.no_answer import apply_threshold, best_thresholds
from qa.metrics.official import missing_note, summarise, summary_intervals
from qa.metrics.table import difference_table, ranking_note, score_table
from qa.outputs.prediction_files import read_na_probs, read_prediction_file

if TYPE_CHECKING:
    import numpy as np

    from qa.data.examples import Example


@dataclass(frozen=True)
class ScoredFile:
    """The official scores of one prediction file, by name."""

    path: str
    results: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]]
    values: dict[str, np.ndarray]  # (Q, 2) each, as the results count them

    def as_json(self) -> dict[str, Any]:
        """Its part of metrics.json."""
        return {"predictions": self.path, **self.results, "intervals": self.intervals}


def make_parser() -> argparse.ArgumentParser:
    """The command line of `python -m qa score`."""
    parser = Parser(
        prog="python -m qa score",
        description="Official scores of prediction files, of whatever program. Two files are"
        " compared by a paired test.",
    )
    parser.add_argument(
        "predictions", nargs="+", metavar="FILE", help="{id: text} as predictions.json; one or two"
    )
    add_flags(parser, nfc_help="and the predictions", default_metrics="")
    parser.add_argument(
        "--na-probs",
        action="append",
        metavar="FILE",
        help="squad2: {id: number} that grows with the chance that a question has no answer, one"
        " file for each prediction file",
    )
    parser.add_argument(
        "--na-prob-threshold",
        type=float,
        default=1.0,
        help="squad2: above it a question counts as unanswered (default 1, as the official script)",
    )
    parser.add_argument("--output-dir", help="directory of metrics.json; written only if named")
    parser.add_argument("--overwrite", action="store_true", help="replace metrics.json")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command(lambda: score_files(make_parser().parse_args(arguments)))


def score_files(options: argparse.Namespace) -> None:
    """Score one prediction file or compare two: print, and write metrics.json if asked to."""
    names = tuple(dict.fromkeys(options.metric or DEFAULT_METRICS))
    check_flags(options, names)
    predictions = [read_prediction_file(path) for path in options.predictions]
    if options.nfc:
        predictions = [{i: normalize("NFC", text) for i, text in p.items()} for p in predictions]
    na_probs = [read_na_probs(path) for path in options.na_probs or ()]
    prepare_hub(None, options.data)
    examples = read_questions(options)
    for path, texts in zip(options.predictions, predictions, strict=True):
        check_ids(path, texts, examples, names)
    for path, probs, texts in zip(options.na_probs or (), na_probs, predictions, strict=False):
        check_na_probs(path, probs, texts, examples)

    files = []
    for i, path in enumerate(options.predictions):
        probs_or_none = na_probs[i] if na_probs else None
        threshold = options.na_prob_threshold
        files.append(score_file(path, names, predictions[i], examples, probs_or_none, threshold))
    print(f"{len(examples)} questions; in brackets 95 % bootstrap intervals")
    for file in files:
        if len(files) > 1:
            print(f"{file.path}:")
        print(score_table(file.results, file.intervals))
    report: dict[str, Any] = files[0].as_json()
    if len(files) == 2:
        differences = {n: compare(n, *(file.values[n] for file in files)) for n in names}
        print("the second minus the first, in points; p: paired sign-flip test, two-sided")
        print(difference_table(differences))
        report = {"files": [file.as_json() for file in files], "comparison": as_json(differences)}
    note = ranking_note(names, (example.question for example in examples))
    if note is not None:
        print(note)
    if options.output_dir is not None:
        write_report(options.output_dir, {"num_examples": len(examples), **report})


def check_flags(options: argparse.Namespace, names: Sequence[str]) -> None:
    """UserError for flags that do not go together or an output directory that cannot be used."""
    from qa.outputs.directory import check_not_a_run, check_output

    files, na_files = len(options.predictions), len(options.na_probs or ())
    require(files <= 2, f"pass one prediction file, or two to compare, not {files}")
    if na_files:
        require("squad2" in names, "--na-probs belongs to --metric squad2")
        require(
            na_files == files,
            f"--na-probs needs one for each prediction file: {na_files} for {files}",
        )
    if options.output_dir is not None:
        check_output(options.output_dir, resume=False, overwrite=options.overwrite)
        check_not_a_run(options.output_dir)


def score_file(
    path: str,
    names: Sequence[str],
    predictions: Mapping[str, str],
    examples: Sequence[Example],
    na_probs: Mapping[str, float] | None,
    na_prob_threshold: float,
) -> ScoredFile:
    """Score {id: text} by every official score in `names`; squad2 uses {id: probability} if any."""
    file = ScoredFile(path, {}, {}, {})
    for name in names:
        score = Score(name)
        for example in examples:
            score.add(predictions.get(example.id), example.gold_answers)
        values, has_answer, best = score.values, score.has_answer, {}
        if name == "squad2" and na_probs is not None:
            ids = [example.id for example in examples]
            best = best_thresholds(values, has_answer, ids, predictions, na_probs)
            values = apply_threshold(values, has_answer, ids, na_probs, na_prob_threshold)
        file.results[name] = {**summarise(name, values, has_answer), **best}
        file.intervals[name] = summary_intervals(name, values, has_answer)
        file.values[name] = values
    return file


def check_ids(
    path: str, predictions: Mapping[str, str], examples: Sequence[Example], names: Sequence[str]
) -> None:
    """Say on stderr which questions have no prediction; UserError if none has one."""
    missing = [example.id for example in examples if example.id not in predictions]
    require(
        len(missing) < len(examples),
        f"{path}: has no prediction for any of the {len(examples)} questions (its ids:"
        f" {first_few(list(predictions))}; the data's: {first_few(missing)})",
    )
    if missing:
        print(f"{path}: {missing_note(missing, len(examples), names)}", file=sys.stderr)


def check_na_probs(
    path: str,
    na_probs: Mapping[str, float],
    predictions: Mapping[str, str],
    examples: Sequence[Example],
) -> None:
    """UserError if a question that has a prediction has no no-answer probability."""
    without = [e.id for e in examples if e.id in predictions and e.id not in na_probs]
    require(
        not without,
        f"{path}: has no number for {len(without)} questions that have a prediction"
        f" ({first_few(without)})",
    )


def as_json(differences: Mapping[str, Mapping[str, Difference]]) -> dict[str, Any]:
    """The comparison's part of metrics.json."""
    return {name: {key: asdict(d) for key, d in v.items()} for name, v in differences.items()}


def write_report(output_dir: str, report: Mapping[str, Any]) -> None:
    """Write metrics.json into a directory that was checked before."""
    from qa.engine.json_files import write_json
    from qa.outputs.directory import METRICS_FILE, make_output

    directory = make_output(output_dir, "evaluation")
    write_json(directory / METRICS_FILE, dict(report))
    print(f"output: {directory}")
