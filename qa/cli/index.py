"""Make an index of documents to ask, add to it, and remove from it.

python -m qa index documents/ KorQuAD_v1.0_dev.json --output my.index
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import normalize

from qa.cli.option_flags import add_option
from qa.cli.parser import Parser, run_command
from qa.cli.startup import prepare_hub
from qa.engine.atomic_files import discard
from qa.engine.config import from_values
from qa.engine.errors import require
from qa.retrieval.settings import FILE, IndexSettings

if TYPE_CHECKING:
    from qa.retrieval.store import Counts
    from qa.retrieval.writer import IndexWriter

SECONDS_BETWEEN_LINES = 10.0
NO_DOCUMENTS = "no text, Markdown, HTML, JSON lines or question-answering data is there"
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


def require_legs(settings: IndexSettings) -> None:
    """Raise UserError if what an index needs is not here, before there is one that needs it."""
    from qa.retrieval.legs import kinds_of

    for kind in kinds_of(settings):
        kind.made_by()
    if settings.dense:
        from qa.retrieval.encoder import LazyEncoder
        from qa.retrieval.legs import sample_of

        LazyEncoder(settings.dense, sample_of(Path(settings.dense))).encode(["가"])


@contextmanager
def removed_if_empty(writer: IndexWriter, is_new: bool) -> Iterator[None]:
    """What fails before a new index holds anything leaves none behind, with its settings."""
    try:
        yield
    except BaseException:
        if is_new and writer.store.count() == (0, 0):
            writer.store.close()
            for file in writer.directory.iterdir():
                discard(file)
            with suppress(OSError):  # it is a link, or the folder of something else
                writer.directory.rmdir()
        raise


def index(options: argparse.Namespace) -> None:
    """Add and remove, and say what the index holds."""
    is_new = not Path(options.output, FILE).exists()
    require(
        options.inputs or not is_new,
        f"{options.output}: is no index yet; pass the documents to make one of",
    )
    given = {name: value for name, value in vars(options).items() if name in NAMES}
    require(given.get("dense") != "", "--dense: names no model; leave it out for none")
    if given.get("dense") and os.path.isdir(given["dense"]):
        given["dense"] = os.path.abspath(given["dense"])  # it is needed wherever the index is used
    settings = from_values(IndexSettings, given) if given or is_new else None
    prepare_hub(given.get("dense"), *options.inputs)
    from qa.retrieval.files import find_inputs, read_documents, readable
    from qa.retrieval.sqlite_file import naming
    from qa.retrieval.writer import IndexWriter

    inputs = find_inputs(options.inputs)
    if is_new and settings is not None:
        require_legs(settings)
    with (
        naming(options.output),
        IndexWriter(options.output, settings) as writer,
        removed_if_empty(writer, is_new),
    ):
        for pattern in options.remove:
            pattern = normalize("NFC", readable(pattern))
            number = writer.remove(pattern)
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
        require(
            documents or not is_new,
            f"{options.output}: not made: {', '.join(options.inputs)}:"
            f" {'all documents are empty' if counts.empty else NO_DOCUMENTS}",
        )
    if inputs:
        print(count_line(counts))
    print(f"index: {options.output} ({documents:,} documents, {passages:,} passages)")


def count_line(counts: Counts) -> str:
    """Return what became of the documents that were read, as a line for people."""
    empty = f", {counts.empty:,} empty" * bool(counts.empty)
    return (
        f"{counts.new:,} new, {counts.replaced:,} replaced, {counts.unchanged:,} unchanged{empty}"
    )
