"""Make an index of documents to ask, add to it, and remove from it.

python -m qa index documents/ KorQuAD_v1.0_dev.json --output my.index
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import fields
from pathlib import Path
from unicodedata import normalize

from qa.cli.option_flags import add_option
from qa.cli.parser import Parser, run_command
from qa.cli.startup import prepare_hub
from qa.engine.config import from_values
from qa.engine.errors import require
from qa.retrieval.settings import FILE, IndexSettings

SECONDS_BETWEEN_LINES = 10.0
NAMES = {each.name for each in fields(IndexSettings)}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa index`."""
    parser = Parser(
        prog="python -m qa index",
        description="Make an index of documents for `qa ask`, add to it, or remove from it. What is"
        " there already and unchanged is not added again.",
    )
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="FILE",
        help="text, Markdown, HTML, JSON lines with text, and title and id if there are any;"
        " folders of these; contexts of question-answering data, as train.py reads it",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="directory of the index")
    parser.add_argument(
        "--remove",
        action="append",
        default=[],
        metavar="ID",
        help="remove the document of this id, or those whose ids match it with * and ?; may be"
        " given several times, and is done before anything is added",
    )
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="make the search anew from the stored passages, with the best engine installed",
    )
    for each in fields(IndexSettings):
        add_option(parser, each)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_command(lambda: index(make_parser().parse_args(arguments)))


def index(options: argparse.Namespace) -> None:
    """Add and remove, and say what the index holds."""
    is_new = not Path(options.output, FILE).exists()
    require(
        options.inputs or not is_new,
        f"{options.output}: is no index yet; pass the documents to make one of",
    )
    given = {name: value for name, value in vars(options).items() if name in NAMES}
    if given.get("dense") and os.path.isdir(given["dense"]):
        given["dense"] = os.path.abspath(given["dense"])  # it is needed wherever the index is used
    settings = from_values(IndexSettings, given) if given or is_new else None
    prepare_hub(given.get("dense"), *options.inputs)
    from qa.retrieval.files import find_inputs, read_documents
    from qa.retrieval.sqlite_file import naming
    from qa.retrieval.store import Counts
    from qa.retrieval.writer import IndexWriter

    inputs = find_inputs(options.inputs)
    with naming(options.output), IndexWriter(options.output, settings) as writer:
        for pattern in options.remove:
            number = writer.remove(normalize("NFC", pattern))
            print(f"{number:,} documents removed: {pattern}")
        told = time.monotonic()

        def tell(so_far: Counts) -> None:
            nonlocal told
            if time.monotonic() - told > SECONDS_BETWEEN_LINES:
                told = time.monotonic()
                print(f"{so_far.new + so_far.replaced:,} documents added", flush=True)

        counts = writer.add(read_documents(inputs), tell)
        if options.rebuild:
            writer.renew(everything=True)
        documents, passages = writer.store.count()
    if inputs:
        empty = f", {counts.empty:,} empty" * bool(counts.empty)
        print(
            f"{counts.new:,} new, {counts.replaced:,} replaced, {counts.unchanged:,} unchanged"
            f"{empty}"
        )
    print(f"index: {options.output} ({documents:,} documents, {passages:,} passages)")
