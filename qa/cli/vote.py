"""Merge the n-best predictions of several readers, such as one training with several seeds.

python -m qa vote runs/a runs/b runs/c --output-dir runs/vote
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from qa.answering.nbest import Answer, null_odds
from qa.cli.parser import Parser, run_command
from qa.engine.errors import require
from qa.outputs.directory import METRICS_FILE, check_not_a_run, check_output, make_output
from qa.outputs.nbest_file import NbestFile, nbest_path, open_nbest
from qa.outputs.prediction_files import NBEST_FILE, PredictionFiles


def make_parser() -> argparse.ArgumentParser:
    """The command line of `python -m qa vote`."""
    parser = Parser(
        prog="python -m qa vote",
        description="One prediction a question from those of several readers: the answer text with"
        " the largest sum of their probabilities. Texts are compared as they are. Writes the"
        " prediction files of `qa evaluate`; `qa score` scores them.",
    )
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="RUN_OR_FILE",
        help=f"directory that train.py or `qa evaluate` wrote, or its {NBEST_FILE}; two or more, of"
        " the same questions; of equal answers the first input's order decides",
    )
    parser.add_argument(
        "--output-dir", help="directory of the merged predictions; runs/vote-001, -002, ... if none"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace predictions")
    parser.add_argument(
        "--null-score-diff-threshold",
        type=float,
        metavar="NUMBER",
        help="leave questions unanswered whose null odds, the mean of the readers', exceed it"
        " (default: answer every question)",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command(lambda: vote(make_parser().parse_args(arguments)))


def vote(options: argparse.Namespace) -> None:
    """Check the inputs, merge them, write and print."""
    threshold = math.inf
    if options.null_score_diff_threshold is not None:
        threshold = options.null_score_diff_threshold
        require(math.isfinite(threshold), "--null-score-diff-threshold must be a finite number")
    require(len(options.inputs) >= 2, f"a vote takes two inputs or more, not {len(options.inputs)}")
    check_output(options.output_dir, resume=False, overwrite=options.overwrite)
    check_not_a_run(options.output_dir)
    paths = [nbest_path(place) for place in options.inputs]
    for path in paths:
        require(
            options.output_dir is None
            or path.parent.resolve() != Path(options.output_dir).resolve(),
            f"{options.output_dir}: holds an input, which would be replaced; pass another"
            " --output-dir",
        )
    with ExitStack() as stack:
        readers = [stack.enter_context(open_nbest(path)) for path in paths]
        check_same_questions(readers)
        directory = make_output(options.output_dir, "vote")
        files = stack.enter_context(PredictionFiles(directory))
        agreed, withheld = write_merged(readers, files, threshold)
        files.commit()
        (directory / METRICS_FILE).unlink(missing_ok=True)  # those of the files replaced
    questions = len(withheld)
    print(f"{questions} questions, {len(readers)} readers, all agreed on {agreed}")
    if options.null_score_diff_threshold is not None:
        print(f"left unanswered: {sum(withheld)}, whose null odds exceed {threshold:.3f}")
    print(f"output: {directory}")


def check_same_questions(readers: Sequence[NbestFile]) -> None:
    """UserError if there are no questions, or one that not every reader answered."""
    first = readers[0]
    require(first.places, f"{first.path}: has no questions")
    for other in readers[1:]:
        for has, lacks in ((first, other), (other, first)):
            missing = [example_id for example_id in has.places if example_id not in lacks.places]
            require(
                not missing,
                f"{lacks.path}: has no question {missing and missing[0]!r}, unlike {has.path}"
                f" ({len(missing)} of its {len(has.places)} are missing); pass predictions on the"
                " same data",
            )


def write_merged(
    readers: Sequence[NbestFile], files: PredictionFiles, threshold: float
) -> tuple[int, list[bool]]:
    """Write the merged answers in the first reader's order of the questions.

    Returns how many questions all readers answer alike, and which were left unanswered since
    their null odds exceed the threshold.
    """
    agreed, withheld = 0, []
    for example_id in readers[0].places:
        candidates = [reader.answers(example_id) for reader in readers]
        merged = merge_answers(candidates)
        files.write(example_id, merged)
        agreed += len({answers[0].text if answers else "" for answers in candidates}) == 1
        withheld.append(null_odds(merged) > threshold)
    if any(withheld):
        files.blank(withheld)
    return agreed, withheld


def merge_answers(candidates: Sequence[Sequence[Answer]]) -> list[Answer]:
    """One list of answers to a question from those of several readers, best first.

    A text's probability is the sum of those it has in all lists, divided so that the texts' sum to
    1; equal ones keep their order in the lists. Its place is where a list gives it most. Scores are
    such that probabilities are their softmax and the best is minus the mean of the null odds.
    """
    by_text: dict[str, list[Answer]] = {}
    for answers in candidates:
        for answer in answers:
            by_text.setdefault(answer.text, []).append(answer)
    # fsum: sums of the same numbers are equal whatever their order.
    sums = {text: math.fsum(a.probability for a in same) for text, same in by_text.items()}
    total = math.fsum(sums.values()) or 1.0
    top = max(sums.values(), default=0.0)
    top_score = -math.fsum(map(null_odds, candidates)) / len(candidates)
    merged = []
    for text in sorted(sums, key=lambda text: -sums[text]):
        place = max(by_text[text], key=lambda answer: answer.probability)
        score = top_score + (log(sums[text]) - log(top))
        merged.append(Answer(text, place.start, place.end, score, sums[text] / total))
    return merged


def log(probability: float) -> float:
    """The logarithm; finite also where the probability is too small for a float and thus 0."""
    return math.log(max(probability, sys.float_info.min))
