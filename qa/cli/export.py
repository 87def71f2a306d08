"""Write a trained reader as an ONNX model, checked by exact match before it is written.

python -m qa export runs/korquad/best --output reader.onnx --data HELD_OUT.json
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from qa.cli.parser import Parser, run_command
from qa.cli.scored_data import add_data_flags, read_questions
from qa.cli.startup import no_collection, prepare_hub
from qa.engine.errors import require

if TYPE_CHECKING:
    from qa.export.gate import Row

HEADER = (
    f"{'form':<34}{'EM':>7}{'F1':>7}{'same %':>8}{'lost/won':>10}{'p':>8}{'ms/window':>11}{'MB':>8}"
)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa export`."""
    parser = Parser(
        prog="python -m qa export",
        description="Write a trained reader as an ONNX model, which onnxruntime runs on a CPU"
        " (needs qa[export]). It is written only if it answers the held-out data as the reader"
        " does; otherwise the exit code is 1.",
    )
    parser.add_argument("model", help="directory of a trained reader, e.g. runs/korquad/best")
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="directory of model.onnx and of all that Reader.from_pretrained(DIR) needs",
    )
    add_data_flags(parser, "")
    parser.add_argument(
        "--int8",
        action="store_true",
        help="write the first smaller form that keeps the exact match: int8, int8 without the"
        " products that narrow, 8-bit weights, or else fp32",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an export")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run code that comes with the model; read it first",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_command(
        lambda: export(make_parser().parse_args(arguments)),
        memory_advice="free some: an export holds the weights two or three times",
    )


def export(options: argparse.Namespace) -> None:
    """Load the reader, export it, and print what was measured."""
    output = Path(options.output)
    check_output(output, options.overwrite)
    prepare_hub(options.model, options.data)
    with no_collection():
        from qa.answering.loading import is_generative
        from qa.answering.reader import Reader
        from qa.export.directory import NO_LOOP, export_reader
        from qa.export.onnx_file import require_packages
        from qa.models.onnx_reader import ONNX_FILE

        if os.path.isdir(options.model):  # before anything is to be installed; no hub is asked
            require(not is_generative(options.model), NO_LOOP)
        require_packages()
        examples = read_questions(options)
        reader = Reader.from_pretrained(
            options.model, "cpu", "fp32", trust_remote_code=options.trust_remote_code
        )
    print(f"{len(examples)} questions; exact match and F1 on the CPU, in fp32 where not said")
    print(HEADER)
    form = export_reader(reader, output, examples, options.int8, print_row)
    print(f"output: {output} ({ONNX_FILE}: {form})")


def check_output(output: Path, overwrite: bool) -> None:
    """Raise UserError if the export could not be written there, or would replace something else."""
    from qa.models.onnx_reader import is_export

    require(
        output.parent.is_dir(),
        f"{output.parent}: is not a directory; make it, or pass another --output",
    )
    if output.exists():
        require(is_export(str(output)), f"{output}: is there and no export; pass another --output")
        require(overwrite, f"{output}: is an export; pass --overwrite, or another --output")


def print_row(row: Row) -> None:
    """Print what was measured of one form, at once: the next one may take minutes."""
    flips = f"{row.lost}/{row.won}"
    print(
        f"{row.form:<34}{row.exact_match:>7.2f}{row.f1:>7.2f}{row.same_texts:>8.2f}{flips:>10}"
        f"{row.p_value:>8.3f}{row.ms_per_window:>11.2f}{row.megabytes:>8.1f}",
        flush=True,
    )
