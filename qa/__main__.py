"""The command `qa`, also `python -m qa`: one command per file of `qa/cli`."""

from __future__ import annotations

import sys
from importlib import import_module

from qa.cli.parser import run_command
from qa.engine.errors import UserError

COMMANDS = {
    "train": "train a reader, as train.py does",
    "predict": "answer questions with a trained reader",
    "serve": "answer questions over HTTP: a page in the browser, and an API",
    "index": "make an index of documents to ask, add to it, remove from it",
    "ask": "answer questions from a collection of documents",
    "evaluate": "official scores of a trained reader",
    "score": "official scores of prediction files; two are compared",
    "report": "what a reader gets wrong, as a page; of two what changed",
    "export": "write a reader as an ONNX model, checked by exact match",
    "vote": "one prediction a question from those of several readers",
    "doctor": "examine a data set, and what a tokenizer can reach on it",
    "extract": "make a reader of any checkpoint of train.py",
    "push": "upload a reader to the Hugging Face hub",
    "verify-resume": "prove that a killed and resumed run equals an uninterrupted one",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the first argument names, and return the exit code."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in COMMANDS:
        # Only now, since most commands import torch sooner or later.
        code: int = import_module(f"qa.cli.{name.replace('-', '_')}").main(rest)
        return code
    return run_command(lambda: show_help(name))


def show_help(name: str) -> None:
    """Print the list of commands; UserError if `name` does not ask for help."""
    if name not in ("-h", "--help", "help"):
        raise UserError(f"there is no command {name!r}; there are {', '.join(COMMANDS)}")
    print("usage: qa COMMAND ...        (qa COMMAND --help says more; also python -m qa COMMAND)\n")
    for command, line in COMMANDS.items():
        print(f"  {command:<15}{line}")


if __name__ == "__main__":
    sys.exit(main())
