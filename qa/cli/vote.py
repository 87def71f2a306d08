"""Merge the n-best predictions of several models, such as those of one training with several seeds.

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
from qa.data.nfc import hangul_form
from qa.engine.errors import first_few, notice, require
from qa.outputs.directory import METRICS_FILE, check_not_a_run, check_output, make_output
from qa.outputs.nbest_file import NbestFile, nbest_path, open_nbest
from qa.outputs.prediction_files import NBEST_FILE, PredictionFiles


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa vote`."""
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
    """Run the command line and return the exit code."""
    return run_command(lambda: vote(make_parser().parse_args(arguments)))


def vote(options: argparse.Namespace) -> None:
    """Check the inputs, merge them, write the merged predictions and print what was done."""
    threshold = math.inf
    if options.null_score_diff_threshold is not None:
        threshold = options.null_score_diff_threshold
        require(math.isfinite(threshold), "--null-score-diff-threshold must be a finite number")
    require(len(options.inputs) >= 2, f"a vote takes two inputs or more, not {len(options.inputs)}")
    check_output(options.output_dir, resume=None, overwrite=options.overwrite)
    check_not_a_run(options.output_dir)
    paths = [nbest_path(name) for name in options.inputs]
    for path in paths:
        require(
            options.output_dir is None
            or path.parent.resolve() != Path(options.output_dir).resolve(),
            f"{options.output_dir}: holds an input, which would be replaced; pass another"
            " --output-dir",
        )
    with ExitStack() as stack:
        inputs = [stack.enter_context(open_nbest(path)) for path in paths]
        check_same_questions(inputs)
        directory = make_output(options.output_dir, "vote")
        files = stack.enter_context(PredictionFiles(directory))
        agreed, unanswered = write_merged(inputs, files, threshold)
        files.commit()
        (directory / METRICS_FILE).unlink(missing_ok=True)  # those of the files replaced
    print(f"{len(unanswered)} questions, {len(inputs)} readers, all agreed on {agreed}")
    if options.null_score_diff_threshold is not None:
        print(f"left unanswered: {sum(unanswered)}, whose null odds exceed {threshold:.3f}")
    print(f"output: {directory}")


def check_same_questions(inputs: Sequence[NbestFile]) -> None:
    """Raise UserError unless all inputs have the same questions, and at least one."""
    first = inputs[0]
    require(first.line_starts, f"{first.path}: has no questions")
    for other in inputs[1:]:
        for has, lacks in ((first, other), (other, first)):
            questions, others = has.line_starts, lacks.line_starts
            missing = [example_id for example_id in questions if example_id not in others]
            require(
                not missing,
                f"{lacks.path}: has no question {missing and missing[0]!r}, unlike {has.path}"
                f" ({len(missing)} of its {len(questions)} are missing); pass predictions on the"
                " same data",
            )


def write_merged(
    inputs: Sequence[NbestFile], files: PredictionFiles, threshold: float
) -> tuple[int, list[bool]]:
    """Write the merged answers, with the questions in the order of the first input.

    Args:
        inputs: N-best files of the same questions.
        files: Get the merged answers.
        threshold: Null odds above which a question is left unanswered.

    Returns:
        How many questions have the same best answer in all inputs, and for each question whether it
        was left unanswered.
    """
    agreed, unanswered, unlike = 0, list[bool](), list[str]()
    for example_id in inputs[0].line_starts:
        candidates = [file.answers(example_id) for file in inputs]
        merged = merge_answers(candidates)
        files.write(example_id, merged)
        agreed += len({answers[0].text if answers else "" for answers in candidates}) == 1
        unanswered.append(null_odds(merged) > threshold)
        forms = {hangul_form(answers[0].text) for answers in candidates if answers} - {None}
        if len(forms) > 1:
            unlike.append(example_id)
    if unlike:
        notice(
            f"to {len(unlike)} questions some answers are decomposed Hangul (NFD) and others are"
            f" composed ({first_few(unlike)}), so they do not vote together; make them with"
            " `qa evaluate --nfc`"
        )
    if any(unanswered):
        files.blank(unanswered)
    return agreed, unanswered


def merge_answers(candidates: Sequence[Sequence[Answer]]) -> list[Answer]:
    """Merge several lists of answers to one question, best first, into one.

    A text's probability is the sum of its probabilities in all lists, normalised so that those of
    all texts sum to 1; texts with equal probabilities keep their order in the lists. Its start and
    end are those of its most probable answer. Scores are such that their softmax gives the
    probabilities, and that the best one is minus the mean of the lists' null odds.
    """
    by_text: dict[str, list[Answer]] = {}
    for answers in candidates:
        for answer in answers:
            by_text.setdefault(answer.text, []).append(answer)
    # fsum: sums of the same numbers are equal, whatever the order of the inputs.
    sums = {text: math.fsum(a.probability for a in same) for text, same in by_text.items()}
    total = math.fsum(sums.values()) or 1.0
    top = max(sums.values(), default=0.0)
    top_score = -math.fsum(map(null_odds, candidates)) / len(candidates)
    merged = []
    for text in sorted(sums, key=lambda text: -sums[text]):
        surest = max(by_text[text], key=lambda answer: answer.probability)
        score = top_score + (safe_log(sums[text]) - safe_log(top))
        merged.append(Answer(text, surest.start, surest.end, score, sums[text] / total))
    return merged


def safe_log(probability: float) -> float:
    """Return the logarithm; finite even if the probability is too small for a float and thus 0."""
    return math.log(max(probability, sys.float_info.min))
