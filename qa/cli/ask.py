"""Ask a collection: the passages that may hold the answer are found, and read.

python -m qa ask runs/korquad/best --index my.index "..."
python -m qa ask runs/korquad/best --index my.index < questions.txt
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING

from qa.answering.questions import check_top_k
from qa.cli.collection import add_collection_flags, open_collection
from qa.cli.parser import Parser, run_command
from qa.cli.reader_flags import add_reader_flags, load_reader
from qa.cli.startup import no_collection, prepare_hub
from qa.data.examples import check_characters, check_text
from qa.engine.errors import UserError, require

if TYPE_CHECKING:
    from qa.open_domain.answers import OpenAnswer

LINES = 64  # questions that are answered together, unless somebody types them


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa ask`."""
    parser = Parser(
        prog="python -m qa ask",
        description="Answer questions from a collection of documents that `qa index` has read.",
    )
    parser.add_argument("model", help="directory of a trained reader, e.g. runs/korquad/best")
    parser.add_argument("question", nargs="*", help="what to ask; without it each line of stdin")
    add_collection_flags(parser, "the collection, as `qa index` writes it", required=True)
    parser.add_argument("--top-k", type=int, default=1, help="answers per question (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON, one line per question")
    add_reader_flags(parser)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_command(
        # Intermixed, since argparse takes a question behind a flag for one too many.
        lambda: ask(make_parser().parse_intermixed_args(arguments)),
        memory_advice="free some, or pass another --device",
    )


def ask(options: argparse.Namespace) -> None:
    """Answer the question, or the lines of stdin, and print the answers."""
    check_top_k(options.top_k, nfc=True)
    question = " ".join(options.question).strip()
    if options.question:
        check_text(question, "the question")
    require(
        options.question or sys.stdin is not None,
        "there is no question, and stdin is closed; pass one",
    )
    index = open_collection(options)
    assert index is not None  # --index is required
    require(len(index), f"{options.index}: holds no documents; `qa index` adds some")
    prepare_hub(options.model)
    with no_collection():
        from qa.open_domain.reader import OpenReader

        reader = OpenReader(load_reader(options), index, options.passages)
    is_one = bool(options.question)
    for questions in [[question]] if is_one else read_lines():
        found = reader.answer_many(questions, top_k=options.top_k)
        for each, answers in zip(questions, found, strict=True):
            print_answers(each, answers, options.json, names_question=not is_one)
        sys.stdout.flush()  # whoever asks through a pipe waits for it


def read_lines() -> Iterator[list[str]]:
    """Yield the questions of stdin, blank lines left out, as many as are answered together."""
    if sys.stdin.isatty():
        print("one question a line; Ctrl-D ends", file=sys.stderr)
    questions = filter(None, (line.strip().strip("\ufeff").strip() for line in checked_lines()))
    while together := list(islice(questions, 1 if sys.stdin.isatty() else LINES)):
        yield together


def checked_lines() -> Iterator[str]:
    """Yield the lines of stdin; UserError if one is no text."""
    number = 0
    try:
        for number, line in enumerate(sys.stdin, 1):
            check_characters(line, f"line {number} of stdin")
            yield line
    except UnicodeDecodeError as error:
        raise UserError(f"stdin: is not {error.encoding} text, after line {number}") from error


def print_answers(
    question: str, answers: Sequence[OpenAnswer], as_json: bool, names_question: bool
) -> None:
    """Print the answers of one question.

    Args:
        question: What was asked.
        answers: Best first; none if the question is left unanswered.
        as_json: Print a line of JSON.
        names_question: Print the question before its answers; JSON names it always.
    """
    if as_json:
        row = {"question": question, "answers": list(map(asdict, answers))}
        print(json.dumps(row, ensure_ascii=False))
        return
    if names_question:
        print(question)
    for answer in answers:
        place = f"{answer.document}, characters {answer.start}-{answer.end}"
        title = f"{answer.title}: " if answer.title else ""
        print(f"{' '.join(answer.text.split())}\t{answer.probability:.3f}\t{place}")
        print(f"    {title}{marked(answer)}")
    if not answers:
        print("(no answer in the collection)")


def marked(answer: OpenAnswer) -> str:
    """Return the passage in one line, with the answer in double brackets."""
    start, end, text = answer.start_in_passage, answer.end_in_passage, answer.passage
    return " ".join(f"{text[:start]}[[{text[start:end]}]]{text[end:]}".split())
