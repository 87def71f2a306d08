"""Examine a data set before training: what is wrong with it, and what a tokenizer can reach on it.

python -m qa doctor FILE --model DIR_OR_HUB_ID
python -m qa doctor FILE --write-fixed FIXED.json
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qa.cli.option_flags import add_option
from qa.cli.parser import Parser, run_command
from qa.cli.startup import prepare_hub
from qa.data.doctor.report import report_lines
from qa.data.windows.options import WindowOptions
from qa.engine.config import from_values
from qa.engine.errors import require

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from qa.data.doctor.mend import Mended


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa doctor`."""
    parser = Parser(
        prog="python -m qa doctor",
        description="What a data set and a tokenizer allow: counts, lengths, broken offsets and how"
        " to mend them, ceilings of the score, windows.",
    )
    parser.add_argument("file", help="any file, folder or hub set that train.py reads")
    parser.add_argument("--model", help="directory or hub id; its tokenizer is used")
    parser.add_argument(
        "--holdout", type=float, help="report both parts of train.py --holdout with this value"
    )
    for field in fields(WindowOptions):
        add_option(parser, field)
    parser.add_argument("--write-fixed", metavar="OUT", help="write the mended data, SQuAD-style")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_command(lambda: examine(make_parser().parse_args(arguments)))


def examine(options: argparse.Namespace) -> None:
    """Read and mend the data, count what it holds, print the report and write mended data."""
    from qa.data.doctor.mend import mend_examples, to_squad
    from qa.data.formats import read_unchecked
    from qa.engine.json_files import finite, write_json

    out = None if options.write_fixed is None else Path(options.write_fixed)
    if out is not None:
        check_output_file(out)
    prepare_hub(options.model, options.file)
    tokenizer = None
    if options.model is not None:
        from qa.models.pretrained import (
            load_tokenizer,
        )  # here, since qa.data does not import qa.models

        tokenizer = load_tokenizer(options.model)
    mended = mend_examples(read_unchecked(options.file))
    require(mended.examples, f"{options.file}: no question has an answer that could be mended")
    report = make_report(options, mended, tokenizer)
    if out is not None:
        write_json(out, to_squad(mended.examples))
    if options.json:
        print(json.dumps(finite(report), ensure_ascii=False, indent=2))
        return
    print("\n".join(report_lines(report)))
    if out is not None:
        print(f"\n{len(mended.examples):,} questions written to {out}")


def check_output_file(out: Path) -> None:
    """Raise UserError unless `out` can be written as a new JSON file."""
    require(out.suffix == ".json", f"{out}: the mended data is JSON; name it so (.json)")
    require(not os.path.lexists(out), f"{out}: exists; it is never overwritten, name another file")
    require(out.parent.is_dir(), f"{out}: there is no directory {out.parent}")


def make_report(
    options: argparse.Namespace, mended: Mended, tokenizer: PreTrainedTokenizerFast | None
) -> dict[str, Any]:
    """Return all that was found, as JSON values.

    Args:
        options: The command line.
        mended: The data; lengths, ceilings and windows are those of its mended examples.
        tokenizer: None leaves out what needs one.
    """
    from qa.data.doctor.profile import profile_texts, profile_tokens
    from qa.data.holdout import split_holdout

    parts = {"all questions": mended.examples}
    if options.holdout is not None:
        training, held_out = split_holdout(mended.examples, options.holdout)
        parts = {"training": training, "held out": held_out}
    windows = from_values(WindowOptions, vars(options))
    profiles = {name: profile_texts(examples) for name, examples in parts.items()}
    if tokenizer is not None:
        for name, examples in parts.items():
            profiles[name].update(profile_tokens(examples, tokenizer, windows))
    return {
        "file": options.file,
        "model": options.model,
        "answers": mended.num_answers,
        "misplaced_answers": mended.num_misplaced,
        "answer_start_counts": mended.unit if mended.num_misplaced else "characters",
        "questions_with_decomposed_hangul": mended.decomposed,
        "mending": dict(mended.answers),
        "affected_ids": mended.affected,
        "questions_left_out": mended.questions_left_out,
        "ids_renamed": mended.ids_renamed,
        "parts": profiles,
    }
