"""The collection that a command asks: its flags, and how it is opened."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from qa.answering.options import PASSAGES
from qa.engine.errors import require

if TYPE_CHECKING:
    from qa.retrieval.index import Index


MOST_PASSAGES = 10_000  # far more than is read in a minute; search engines take no huge number


def add_collection_flags(parser: argparse.ArgumentParser, help: str, required: bool) -> None:
    """Add the flags of a collection; `help`: what is done with it."""
    parser.add_argument("--index", required=required, metavar="DIR", help=help)
    parser.add_argument(
        "--passages",
        type=int,
        metavar="K",
        help=f"passages of the index that are read for a question (default {PASSAGES})",
    )


def open_collection(options: argparse.Namespace) -> Index | None:
    """Open the index; None without one. UserError if it cannot be, or K is out of range."""
    if options.index is None:
        require(options.passages is None, "--passages are those of --index; pass one")
        return None
    options.passages = PASSAGES if options.passages is None else options.passages
    require(options.passages >= 1, f"--passages must be at least 1, not {options.passages}")
    require(options.passages <= MOST_PASSAGES, f"--passages must be at most {MOST_PASSAGES:,}")
    from qa.retrieval.index import Index

    return Index.open(options.index)


def check_keep(options: argparse.Namespace) -> None:
    """Raise UserError if --keep could not write what --index fits."""
    from qa.answering.reader_settings import SETTINGS_FILE

    if options.keep:
        require(options.index is not None, "--keep keeps what --index fits; pass one")
        file = Path(options.model) / SETTINGS_FILE
        require(file.is_file(), f"{file}: no such file, in which --keep could write")
