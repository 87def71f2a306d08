"""Evaluate a reader: windows -> logits -> n-best -> merged windows -> text -> official scores.

Everything streams: a block of examples is read, answered, scored, written and forgotten, so memory
does not grow with the data set.

    python -m qa.evaluate runs/korquad/best --data FILE.json
    python -m qa.evaluate --predictions predictions.json --data FILE.json    (score_files.py)
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from qa.cli import Parser, run_command
from qa.engine.errors import require
from qa.hub import HUB_PREFIX, is_on_hub, use_caches_if_unreachable
from qa.metrics import DEFAULT_METRICS, METRICS, Score
from qa.metrics.table import ranking_note, score_table

if TYPE_CHECKING:
    from qa.answerer import Answerer
    from qa.data.examples import Example
    from qa.engine.distributed import World
    from qa.nbest import Answer
    from qa.predictions import PredictionFiles

MAIN_SCORE = "korquad1"


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found."""

    scores: dict[str, dict[str, float]]  # name of the score -> its official keys, in %
    eval_loss: float  # mean over windows
    num_examples: int
    num_windows: int
    seconds: float
    decode_seconds: float  # part of `seconds`: decoding, merging, text, scores, files

    @property
    def metrics(self) -> dict[str, float]:
        """The figures a run is steered by: exact_match and f1 of the main score, and eval_loss."""
        return {**self.scores[MAIN_SCORE], "eval_loss": self.eval_loss}

    @property
    def metrics_by_score(self) -> dict[str, float]:
        """Every figure of every score: korquad1_exact_match, ..."""
        return {f"{n}_{key}": value for n, s in self.scores.items() for key, value in s.items()}


def evaluate(
    answerer: Answerer,
    examples: Sequence[Example],
    windows: Any,
    files: PredictionFiles | None = None,
    world: World | None = None,
    should_abort: Callable[[], bool] = lambda: False,
    deals_blocks: bool = True,
    scores: Sequence[Score] | None = None,
) -> Evaluation | None:
    """Answer and score `examples`, whose windows are the rows of `windows`, in order.

    windows: a `datasets.Dataset` made by `cached_windows`. files: takes each example's answers.
    world: processes that deal the blocks out among them; the main one scores and writes, in order,
    what one process alone would, and all return its result. should_abort: asked, in all processes
    alike, between blocks; None is returned if it says so. deals_blocks: false if all processes must
    answer every block together. scores: new ones to count in, which the caller can ask for more
    than their means; those of DEFAULT_METRICS if None.
    """
    from qa.answerer import blocks
    from qa.engine.distributed import World

    world = world or World()
    started = time.perf_counter()
    answerer.reader.eval()
    answerer.reset()
    scores = scores or [Score(name) for name in DEFAULT_METRICS]
    loss_sum, num_windows, scoring_seconds = 0.0, 0, 0.0
    remaining = blocks(iterate_rows(windows))
    lanes, lane = (world.size, world.rank) if deals_blocks else (1, 0)
    while deal := list(islice(remaining, lanes)):
        if should_abort():
            return None
        for answered in world.gather(answer_dealt(answerer, examples, deal, lane))[:lanes]:
            scoring = time.perf_counter()
            if answered is None:
                continue
            for example, n_best in zip(examples[answered.examples], answered.answers, strict=True):
                text = n_best[0].text if n_best else ""
                for score in scores:
                    score.add(text, example.answers)
                if files is not None:
                    files.write(example.id, n_best)
            loss_sum += answered.loss_sum
            num_windows += answered.num_windows
            scoring_seconds += time.perf_counter() - scoring
    result = Evaluation(
        scores={score.name: score.compute() for score in scores},
        eval_loss=loss_sum / max(1, num_windows),
        num_examples=len(examples),
        num_windows=num_windows,
        seconds=time.perf_counter() - started,
        decode_seconds=answerer.decode_seconds + scoring_seconds,
    )
    shared: Evaluation = world.from_main(result)
    return shared


@dataclass(frozen=True)
class AnsweredBlock:
    """What one process found for its block."""

    examples: slice
    answers: list[list[Answer]]
    loss_sum: float
    num_windows: int


def answer_dealt(
    answerer: Answerer, examples: Sequence[Example], deal: list[list[Any]], rank: int
) -> AnsweredBlock | None:
    """Answer the block that is dealt to process `rank`; None if there is none left for it."""
    if rank >= len(deal):
        return None
    block = deal[rank]
    first, last = int(block[0]["example_index"]), int(block[-1]["example_index"])
    answers = answerer.answer_block(examples[first : last + 1], block, first)
    loss_sum, num_windows = answerer.take_loss()
    return AnsweredBlock(slice(first, last + 1), answers, loss_sum, num_windows)


def iterate_rows(dataset: Any, rows_per_read: int = 256) -> Iterator[dict[str, Any]]:
    """The rows of a `datasets.Dataset`, read many at a time, which is what makes it fast."""
    for start in range(0, len(dataset), rows_per_read):
        yield from dataset.__getitems__(
            list(range(start, min(start + rows_per_read, len(dataset))))
        )


def make_parser() -> argparse.ArgumentParser:
    """The command line of `python -m qa.evaluate`."""
    parser = Parser(
        prog="python -m qa.evaluate",
        description="Official scores of a trained reader, which writes its prediction files, or of"
        " prediction files alone.",
    )
    parser.add_argument(
        "model", nargs="?", help="directory of a trained reader, e.g. runs/korquad/best"
    )
    parser.add_argument("--data", required=True, help="JSON or JSONL file, or hub:NAME[:SPLIT]")
    parser.add_argument(
        "--metric",
        action="append",
        choices=list(METRICS),
        help=f"official score, may be repeated (default {' and '.join(DEFAULT_METRICS)})",
    )
    parser.add_argument(
        "--predictions",
        action="append",
        metavar="FILE",
        help="score this {id: text} instead of a model's answers; given twice: compare two readers",
    )
    parser.add_argument(
        "--na-probs",
        action="append",
        metavar="FILE",
        help="squad2: {id: number} that grows with the chance that a question has no answer, one"
        " file for each of --predictions",
    )
    parser.add_argument(
        "--na-prob-threshold",
        type=float,
        default=1.0,
        help="squad2: above it a question counts as unanswered (default 1, as the official script)",
    )
    parser.add_argument(
        "--holdout",
        type=float,
        default=None,
        help="score only the articles that train.py --holdout with this value holds out",
    )
    parser.add_argument(
        "--output-dir",
        help="directory of metrics and predictions; runs/evaluation-001, -002, ... if none",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace metrics and predictions")
    parser.add_argument("--batch-size", type=int, default=32, help="windows per batch (default 32)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command(lambda: evaluate_or_score(make_parser().parse_args(arguments)))


def evaluate_or_score(options: argparse.Namespace) -> None:
    """Evaluate a model, or score prediction files if they are given instead."""
    from qa.score_files import score_files

    require(
        bool(options.model) != bool(options.predictions),
        "pass either a model or --predictions FILE",
    )
    parser = make_parser()
    if options.predictions:
        others, place = ["batch_size", "device", "precision"], "a model, not with --predictions"
    else:
        others, place = ["na_probs", "na_prob_threshold"], "--predictions"
    for name in others:
        require(
            getattr(options, name) == parser.get_default(name),
            f"--{name.replace('_', '-')} goes with {place}",
        )
    if options.predictions:
        score_files(options)
    else:
        evaluate_model(options)


def evaluate_model(options: argparse.Namespace) -> None:
    """Load a reader and a data set, score the one on the other, print and write."""
    from qa.data.cache import cached_windows
    from qa.data.holdout import split_holdout
    from qa.data.readers import read_examples, require_answers
    from qa.engine.files import write_json
    from qa.output import METRICS_FILE, check_not_a_run, check_output, make_output
    from qa.predict import Reader
    from qa.predictions import PredictionFiles

    require(options.batch_size >= 1, f"--batch-size must be at least 1, not {options.batch_size}")
    check_output(options.output_dir, resume=False, overwrite=options.overwrite)
    check_not_a_run(options.output_dir)
    if is_on_hub(options.model) or options.data.startswith(HUB_PREFIX):
        use_caches_if_unreachable()
    examples = read_examples(options.data, split="validation")
    if options.holdout is not None:
        _, examples = split_holdout(examples, options.holdout)
    require_answers(examples, options.data)
    reader = Reader.from_pretrained(
        options.model, options.device, options.precision, batch_size=options.batch_size
    )
    windows = cached_windows(examples, reader.tokenizer, reader.windows)
    directory = make_output(options.output_dir, "evaluation")
    scores = [Score(name) for name in dict.fromkeys(options.metric or DEFAULT_METRICS)]
    with PredictionFiles(directory) as files:
        result = evaluate(reader.answerer, examples, windows, files, scores=scores)
        assert result is not None  # nothing aborts it
        files.commit()
    intervals = {score.name: score.intervals() for score in scores}
    write_json(
        directory / METRICS_FILE,
        {**result.scores, "intervals": intervals, "eval_loss": result.eval_loss},
    )
    print(
        f"{result.num_examples} questions, {result.num_windows} windows,"
        f" loss {result.eval_loss:.4f}; in brackets 95 % bootstrap intervals"
    )
    print(score_table(result.scores, intervals))
    note = ranking_note(list(result.scores), (example.question for example in examples))
    if note is not None:
        print(note)
    share = 100 * result.decode_seconds / result.seconds
    print(f"{result.seconds:.1f} s, of which decoding and scoring {share:.1f} %")
    print(f"output: {directory}")


if __name__ == "__main__":
    sys.exit(main())
