"""Answer questions with a trained reader.

python -m qa predict runs/korquad/best --context "..." --question "..."
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from qa.cli.parser import Parser, run_command
from qa.cli.startup import no_collection, prepare_hub
from qa.data.examples import Example, check_text
from qa.engine.errors import require


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa predict`."""
    parser = Parser(
        prog="python -m qa predict", description="Answer questions with a trained reader."
    )
    parser.add_argument("model", help="directory of a trained reader, e.g. runs/korquad/best")
    parser.add_argument("--context", help="the text to read")
    parser.add_argument("--question", help="the question about it")
    parser.add_argument("--data", help="instead: a JSON or JSONL file of questions and contexts")
    parser.add_argument(
        "--nfc",
        action="store_true",
        help="compose decomposed Hangul (NFD) before reading, as train.py --nfc; answers and their"
        " places are still those of the context as it was passed",
    )
    parser.add_argument("--top-k", type=int, default=1, help="answers per question (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON, one line per question")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run code that comes with the model; read it first",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_command(
        lambda: predict(make_parser().parse_args(arguments)),
        memory_advice="free some, or pass another --device",
    )


def predict(options: argparse.Namespace) -> None:
    """Answer the question, or the file's questions, and print the answers."""
    prepare_hub(options.model, options.data)
    examples = _examples(options)
    with no_collection():
        from qa.answering.reader import Reader

        reader = Reader.from_pretrained(
            options.model,
            options.device,
            options.precision,
            trust_remote_code=options.trust_remote_code,
        )
    answered = reader.iterate_answers(examples, top_k=options.top_k, nfc=options.nfc)
    for example, answers in zip(examples, answered, strict=True):
        if options.json:
            found = [asdict(answer) for answer in answers]
            row = {"id": example.id, "question": example.question, "answers": found}
            print(json.dumps(row, ensure_ascii=False))
            continue
        if options.data:
            print(f"{example.id}\t{example.question}")
        for answer in answers:
            span = f"characters {answer.start}-{answer.end}"
            print(f"{answer.text}\t{answer.probability:.3f}\t{span}")
        if not answers:
            print("(no answer)")


def _examples(options: argparse.Namespace) -> list[Example]:
    """Return what to answer: a file's questions, or the one pair."""
    from qa.data.formats import read_examples

    one_pair = options.context is not None and options.question is not None
    if options.data:
        require(
            options.context is None and options.question is None, "--data or one pair, not both"
        )
        return read_examples(options.data, split="validation", labelled=False)
    require(one_pair, "pass --context and --question, or --data FILE")
    check_text(options.question.strip(), "--question")
    check_text(options.context, "--context")
    return [Example(id="0", question=options.question.strip(), context=options.context)]
