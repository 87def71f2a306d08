"""Upload a reader to the Hugging Face hub.

python -m qa push runs/korquad/best me/korquad-reader
"""

from __future__ import annotations

import argparse
from pathlib import Path

from qa.cli.parser import Parser, run_command
from qa.engine.errors import require


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa push`."""
    parser = Parser(
        prog="python -m qa push",
        description="Upload a reader to the Hugging Face hub, with README.md as its model card:"
        " look at that before, and name a licence in it.",
    )
    parser.add_argument("model", help="directory of a reader, e.g. runs/korquad/best")
    parser.add_argument("id", help="OWNER/NAME on the hub; made if it is not there")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_command(lambda: push(make_parser().parse_args(arguments)))


def push(options: argparse.Namespace) -> None:
    """Check the reader and the id, and upload."""
    from qa.models.pretrained import check_directory, holds_model
    from qa.outputs.hub import check_upload, upload

    directory = Path(options.model)
    check_directory(options.model)
    # Nothing else is uploaded: the whole directory goes, and by default for everybody to see.
    require(
        holds_model(options.model),
        f"{directory}: is not the directory of a reader, such as RUN/best",
    )
    check_upload(options.id)
    print(f"uploaded: {upload(directory, options.id, options.private)}")
