"""Answer questions with a trained reader.

python -m qa predict runs/korquad/best --context "..." --question "..."
python -m qa predict runs/korquad/best --data FILE.json --output predictions.json
torchrun --nproc-per-node=N -m qa predict runs/korquad/best --data FILE.jsonl --output OUT.jsonl
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from qa.answering.questions import check_top_k
from qa.cli.parser import Parser, run_command
from qa.cli.reader_flags import add_reader_flags, load_reader
from qa.cli.startup import no_collection, prepare_hub
from qa.data.examples import Example, check_text
from qa.engine.console import told_by_main
from qa.engine.errors import require
from qa.outputs.directory import places_in
from qa.outputs.partial_lines import is_left

if TYPE_CHECKING:
    from qa.data.formats.row_by_row import Questions


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa predict`."""
    parser = Parser(
        prog="python -m qa predict", description="Answer questions with a trained reader."
    )
    parser.add_argument("model", help="directory of a trained reader, e.g. runs/korquad/best")
    parser.add_argument("--context", help="the text to read")
    parser.add_argument("--question", help="the question about it")
    parser.add_argument("--data", help="instead: questions and contexts, as train.py --eval-data")
    parser.add_argument(
        "--nfc",
        action="store_true",
        help="compose decomposed Hangul (NFD) before reading, as train.py --nfc; answers and their"
        " places are still those of the context as it was passed",
    )
    parser.add_argument("--top-k", type=int, default=1, help="answers per question (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON, one line per question")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write the answers instead of printing them: .json {id: text}, as leaderboards take"
        " it; .jsonl the lines of --json; .csv id and prediction",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file of --output")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on behind the last answers that an interrupted --output FILE.jsonl has",
    )
    add_reader_flags(parser)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_command(
        lambda: predict(make_parser().parse_args(arguments)),
        memory_advice="free some, or pass another --device",
    )


def predict(options: argparse.Namespace) -> None:
    """Answer the question, or the data's questions, and print or write the answers."""
    with told_by_main():
        check_top_k(options.top_k, options.nfc)
        check_output(options)
        prepare_hub(options.model, options.data)
        questions = _questions(options)
    with no_collection():
        from qa.cli.predictions import answer_questions

        reader = load_reader(options)
    answer_questions(reader, questions, options)


def check_output(options: argparse.Namespace) -> None:
    """Raise UserError unless --output can be written, before anything is loaded."""
    from qa.outputs.answers_file import WRITERS

    if options.output is None:
        require(not options.resume, "--resume goes on with the file of --output; pass one")
        require(not options.overwrite, "--overwrite replaces the file of --output; pass one")
        return
    path = Path(options.output)
    suffix = path.suffix.lower()
    require(
        suffix in WRITERS, f"{path}: --output takes {', '.join(WRITERS)}; see --help for what is in"
    )
    require(not options.json, "--json prints; --output FILE.jsonl writes the same lines")
    require(
        options.top_k == 1 or suffix == ".jsonl",
        f"{path}: holds one answer a question; --top-k needs --output FILE.jsonl",
    )
    require(
        path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK),
        f"{path.parent}: is not a directory that can be written to; pass another --output",
    )
    require(not path.is_dir(), f"{path}: is a directory; pass the name of a file")
    require(
        not (path.exists() and is_within(path, options.model)),
        f"{path}: is a file of the reader; pass another --output",
    )
    is_input = path.exists() and is_within(path, options.data or "")
    require(not is_input, f"{path}: is the --data; pass another --output")
    require(
        options.overwrite or not path.exists() or (options.resume and is_left(path)),
        f"{path}: is there already; pass --overwrite to replace it, or another --output",
    )
    if options.resume:
        require(suffix == ".jsonl", f"{path}: only --output FILE.jsonl can be resumed")
        require(options.data, "--resume goes on with the questions of --data")
        require(not options.overwrite, "pass --resume or --overwrite, not both")


def is_within(path: Path, source: str) -> bool:
    """Return whether a file is what sources name, or lies in a folder that is one."""
    own = path.resolve()
    places = [place.resolve() for place in places_in(source)]
    return any(own.samefile(place) or place in own.parents for place in places)


def _questions(options: argparse.Namespace) -> Questions | list[Example]:
    """Return what to answer: the data's questions, or the one pair."""
    from qa.data.formats.row_by_row import open_questions

    one_pair = options.context is not None and options.question is not None
    if options.data:
        require(
            options.context is None and options.question is None, "--data or one pair, not both"
        )
        return open_questions(options.data)
    require(one_pair, "pass --context and --question, or --data FILE")
    check_text(options.question.strip(), "--question")
    check_text(options.context, "--context")
    return [Example(id="0", question=options.question.strip(), context=options.context)]
