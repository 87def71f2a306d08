"""The official scores of prediction files, from any program; no model is loaded.

python -m qa score predictions.json --data FILE.json --metric korquad1
python -m qa score a.json b.json --data FILE.json
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any
from unicodedata import normalize

from qa.cli.parser import Parser, run_command
from qa.cli.scored_data import add_flags, read_questions
from qa.cli.scored_file import ScoredFile, score_file
from qa.cli.scored_predictions import check_na_probs, check_predictions
from qa.cli.startup import prepare_hub
from qa.engine.errors import require
from qa.evaluation.null_threshold import metrics_for
from qa.metrics.compare import Difference, compare
from qa.metrics.table import difference_table, ranking_note, score_table
from qa.outputs.read_predictions import read_na_probs, read_prediction_file


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa score`."""
    parser = Parser(
        prog="python -m qa score",
        description="Official scores of prediction files, from any program. Two files are"
        " compared by a paired test.",
    )
    parser.add_argument(
        "predictions",
        nargs="+",
        metavar="FILE",
        help="one or two: {id: text} as predictions.json, or rows with id and prediction (JSON,"
        " JSON lines, CSV)",
    )
    add_flags(parser, nfc_help="and the predictions")
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
        help="squad2, with --na-probs: above it a question counts as unanswered (default 1, as the"
        " official script)",
    )
    parser.add_argument("--output-dir", help="directory of metrics.json; written only if named")
    parser.add_argument("--overwrite", action="store_true", help="replace metrics.json")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_command(lambda: score_files(make_parser().parse_args(arguments)))


def score_files(options: argparse.Namespace) -> None:
    """Score one prediction file or compare two; write metrics.json if an output is named."""
    check_flags(options)
    predictions = [read_prediction_file(path) for path in options.predictions]
    if options.nfc:
        predictions = [{i: normalize("NFC", text) for i, text in p.items()} for p in predictions]
    na_probs = [read_na_probs(path) for path in options.na_probs or ()]
    prepare_hub(None, options.data)
    examples = read_questions(options, by_text=True)
    names = tuple(dict.fromkeys(options.metric or metrics_for(examples)))
    require(not na_probs or "squad2" in names, "--na-probs belongs to --metric squad2")
    for path, texts in zip(options.predictions, predictions, strict=True):
        check_predictions(path, texts, examples, names, is_part=options.holdout is not None)
    for path, probs, texts in zip(options.na_probs or (), na_probs, predictions, strict=False):
        check_na_probs(path, probs, texts, examples)

    probs_or_none = list(na_probs) if na_probs else [None] * len(predictions)
    threshold = 1.0 if options.na_prob_threshold is None else options.na_prob_threshold
    files = [
        score_file(path, names, texts, examples, probs, threshold)
        for path, texts, probs in zip(options.predictions, predictions, probs_or_none, strict=True)
    ]
    print(f"{len(examples)} questions; in brackets 95 % bootstrap intervals")
    report = print_scores(files, names)
    note = ranking_note(names, (example.question for example in examples))
    if note is not None:
        print(note)
    if options.output_dir is not None:
        write_report(options.output_dir, {"num_examples": len(examples), **report})


def print_scores(files: Sequence[ScoredFile], names: Sequence[str]) -> dict[str, Any]:
    """Print the scores `names` of one or two files, and return them for metrics.json."""
    for file in files:
        if len(files) > 1:
            print(f"{file.path}:")
        print(score_table(file.results, file.intervals))
    if len(files) == 1:
        return files[0].as_json()
    first, second = files
    differences = {name: compare(name, first.values[name], second.values[name]) for name in names}
    print("the second minus the first, in points; p: paired sign-flip test, two-sided")
    print(difference_table(differences))
    return {"files": [file.as_json() for file in files], "comparison": as_json(differences)}


def check_flags(options: argparse.Namespace) -> None:
    """Raise UserError if flags do not go together or the output directory cannot be used."""
    from qa.outputs.directory import check_not_a_run, check_output, require_utf8

    require_utf8(*options.predictions, options.data, options.output_dir)
    files, na_files = len(options.predictions), len(options.na_probs or ())
    require(files <= 2, f"pass one prediction file, or two to compare, not {files}")
    require(
        options.na_prob_threshold is None or (na_files and isfinite(options.na_prob_threshold)),
        "--na-prob-threshold is a number, and one for the probabilities of --na-probs",
    )
    if na_files:
        require(
            na_files == files,
            f"--na-probs needs one for each prediction file: {na_files} for {files}",
        )
    if options.output_dir is not None:
        check_output(options.output_dir, resume=None, overwrite=options.overwrite)
        check_not_a_run(options.output_dir)


def as_json(differences: Mapping[str, Mapping[str, Difference]]) -> dict[str, Any]:
    """Return the comparison's part of metrics.json."""
    return {name: {key: asdict(d) for key, d in v.items()} for name, v in differences.items()}


def write_report(output_dir: str, report: Mapping[str, Any]) -> None:
    """Write metrics.json into a directory that `check_flags` checked."""
    from qa.engine.json_files import write_json
    from qa.outputs.directory import METRICS_FILE, make_output

    directory = make_output(output_dir, "evaluation")
    write_json(directory / METRICS_FILE, dict(report))
    print(f"output: {directory}")
