"""The official scores of a trained reader.

python -m qa evaluate runs/korquad/best --data FILE.json
python -m qa evaluate runs/korquad/best --data FILE.json --index my.index
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qa.cli.collection import add_collection_flags, check_keep, open_collection
from qa.cli.parser import Parser, is_number, run_command
from qa.cli.reader_flags import add_reader_flags, load_reader
from qa.cli.scored_data import add_flags, read_questions
from qa.cli.startup import no_collection, prepare_hub
from qa.data.batches.evaluation_batches import BATCH_SIZE, CPU_BATCH_TOKENS
from qa.engine.errors import require
from qa.evaluation.null_threshold import metrics_for, threshold_on
from qa.metrics import METRICS, Score
from qa.metrics.table import Intervals, ranking_note, score_table

if TYPE_CHECKING:
    from pathlib import Path

    from qa.answering.reader import Reader
    from qa.data.examples import Example
    from qa.evaluation.evaluate import Evaluation

TUNE = "tune"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa evaluate`."""
    parser = Parser(
        prog="python -m qa evaluate",
        description="Official scores of a trained reader, which writes its prediction files."
        " `qa score` scores prediction files alone.",
    )
    parser.add_argument("model", help="directory of a trained reader, e.g. runs/korquad/best")
    add_flags(
        parser,
        nfc_help="places in nbest_predictions.json are those in the composed text",
    )
    parser.add_argument(
        "--output-dir",
        help="directory of metrics and predictions; runs/evaluation-001, -002, ... if none",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace metrics and predictions")
    parser.add_argument(
        "--null-score-diff-threshold",
        type=threshold_value,
        metavar="NUMBER|tune",
        help="leave questions unanswered whose null odds exceed it; tune: the best one on this data"
        " (default: the model's own, or 0 if there are questions without an answer)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=BATCH_SIZE,
        help="windows of full length per batch; shorter windows share its capacity, and on a CPU it"
        f" holds at most {CPU_BATCH_TOKENS} tokens (default {BATCH_SIZE})",
    )
    add_collection_flags(
        parser,
        "also answer from this collection, which `qa index` wrote, without the paragraphs; fits the"
        " weight of passages and a threshold, and judges each half of the questions by the other's",
        required=False,
    )
    parser.add_argument(
        "--keep", action="store_true", help="write what --index fits into the reader's reader.json"
    )
    add_reader_flags(parser)
    return parser


def threshold_value(text: str) -> float | str:
    """Convert the text of a flag to a finite number or "tune"; else argparse tells its message."""
    if text == TUNE:
        return text
    if not is_number(text) or not math.isfinite(float(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no finite number and not {TUNE}")
    return float(text)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_command(
        lambda: evaluate_model(make_parser().parse_args(arguments)),
        memory_advice="pass a lower --batch-size",
    )


def evaluate_model(options: argparse.Namespace) -> None:
    """Load a reader and a data set, score the reader on the data, print and write the scores."""
    from qa.outputs.directory import check_not_a_run, check_output, make_output

    require(options.batch_size >= 1, f"--batch-size must be at least 1, not {options.batch_size}")
    check_output(options.output_dir, resume=None, overwrite=options.overwrite)
    check_not_a_run(options.output_dir)
    index = open_collection(options)
    check_keep(options)
    prepare_hub(options.model, options.data)
    with no_collection():
        from qa.answering.loading import is_generative

        examples = read_questions(options, by_text=is_generative(options.model))
        reader = load_reader(options, options.batch_size)
    if index is not None:
        from qa.open_domain.reader import require_places

        require_places(reader)
    scores = [Score(name) for name in dict.fromkeys(options.metric or metrics_for(examples))]
    threshold, tunes = options.null_score_diff_threshold, False
    if threshold == TUNE:
        require(
            any(METRICS[score.name].knows_no_answer for score in scores),
            "--null-score-diff-threshold tune needs a --metric that knows of questions without an"
            " answer: squad2 or klue-mrc",
        )
        threshold, tunes = None, True
    elif threshold is None:
        threshold = threshold_on(reader.null_score_diff_threshold, examples)
    directory = make_output(options.output_dir, "evaluation")
    result = score_reader(reader, examples, directory, scores, threshold, tunes)
    intervals = {score.name: score.intervals() for score in scores}
    write_scores(result, intervals, directory)
    print_scores(result, intervals, examples)
    if index is not None:
        from qa.cli.evaluate_collection import evaluate_collection

        evaluate_collection(reader, index, examples, result, directory, options)
    print(f"output: {directory}")


def score_reader(
    reader: Reader,
    examples: list[Example],
    directory: Path,
    scores: Sequence[Score],
    threshold: float | None,
    tunes: bool,
) -> Evaluation:
    """Answer and score the questions, and write the prediction files.

    Args:
        reader: Answers the questions.
        examples: The questions.
        directory: Gets the prediction files.
        scores: New scores, to count in.
        threshold: Null odds above which a question is left unanswered; None: never.
        tunes: Use the best threshold on these questions instead.
    """
    from qa.data.windows.iterate import iterate_windows
    from qa.evaluation.evaluate import evaluate
    from qa.outputs.prediction_files import PredictionFiles

    # Without a cache on disk: importing `datasets` takes as long as cutting the windows of 2,000
    # questions.
    coverage = reader.coverage()
    windows = iterate_windows(examples, reader.tokenizer, reader.windows, coverage)
    with PredictionFiles(directory) as files:
        result = evaluate(
            reader.answerer,
            examples,
            windows,
            files=files,
            scores=scores,
            threshold=threshold,
            tunes=tunes,
        )
        assert result is not None  # nothing aborts it
        files.commit()
    coverage.give_notices()
    return result


def write_scores(result: Evaluation, intervals: Intervals, directory: Path) -> None:
    """Write scores, their intervals, the loss and the threshold into metrics.json."""
    from qa.answering.reader_settings import THRESHOLD
    from qa.engine.json_files import write_json
    from qa.outputs.directory import METRICS_FILE, OPEN_PREDICTIONS_FILE

    # Of an evaluation that this one replaces: its figures were in metrics.json.
    (directory / OPEN_PREDICTIONS_FILE).unlink(missing_ok=True)
    outside = result.outside_context
    write_json(
        directory / METRICS_FILE,
        {
            **result.scores,
            "intervals": intervals,
            "eval_loss": result.eval_loss,
            **({} if outside is None else {"outside_context": outside}),
            **({} if result.threshold is None else {THRESHOLD: result.threshold}),
        },
    )


def print_scores(result: Evaluation, intervals: Intervals, examples: Sequence[Example]) -> None:
    """Print scores, their intervals, and how long the evaluation took."""
    print(
        f"{result.num_examples} questions, {result.num_windows} windows,"
        f" loss {result.eval_loss:.4f}; in brackets 95 % bootstrap intervals"
    )
    print(score_table(result.scores, intervals))
    if result.outside_context is not None:
        print(f"written freely, outside the context: {result.outside_context:.2f} %")
    if result.threshold is not None:
        count = int((result.null_odds > result.threshold).sum())
        print(f"left unanswered: {count}, whose null odds exceed {result.threshold:.6g}")
    note = ranking_note(list(result.scores), (example.question for example in examples))
    if note is not None:
        print(note)
    share = 100 * result.decode_seconds / result.seconds
    print(f"{result.seconds:.1f} s, of which decoding and scoring {share:.1f} %")
