"""Examine a data set before training: what is wrong with it, and what a tokenizer can reach on it.

python -m qa doctor FILE --model DIR_OR_HUB_ID
python -m qa doctor FILE --write-fixed FIXED.json
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qa.answering.options import DecodeOptions
from qa.cli.option_flags import add_option
from qa.cli.parser import Parser, run_command
from qa.cli.reader_flags import LENGTHS
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
    parser.add_argument(
        "--eval-data",
        metavar="FILE",
        help="report train.py --eval-data FILE, too, and what of it stands in the training data",
    )
    for field in LENGTHS:
        add_option(parser, field)
    parser.add_argument("--write-fixed", metavar="OUT", help="write the mended data, SQuAD-style")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_command(lambda: examine(make_parser().parse_args(arguments)))


def examine(options: argparse.Namespace) -> None:
    """Read and mend the data, count what it holds, print the report and write mended data."""
    from qa.data.doctor.mend import to_squad
    from qa.engine.json_files import finite, write_json

    out = None if options.write_fixed is None else Path(options.write_fixed)
    if out is not None:
        check_output_file(out)
    require(
        options.holdout is None or options.eval_data is None,
        "pass --eval-data or --holdout, not both",
    )
    prepare_hub(options.model, options.file, options.eval_data)
    tokenizer = None
    if options.model is not None:
        # Here, since qa.data does not import qa.models.
        from qa.models.pretrained import load_tokenizer
        from qa.models.vocabulary import configured_embeddings, require_vocabulary

        tokenizer = load_tokenizer(options.model)
        require_vocabulary(options.model, tokenizer, configured_embeddings(options.model))
    mended = read_mended(options.file, "train")
    evaluation = None
    if options.eval_data is not None:
        evaluation = read_mended(options.eval_data, "validation")
    report = make_report(options, mended, evaluation, tokenizer)
    if out is not None:
        write_json(out, to_squad(mended.examples))
    if options.json:
        print(json.dumps(finite(report), ensure_ascii=False, indent=2))
        return
    print("\n".join(report_lines(report)))
    if out is not None:
        print(f"\n{len(mended.examples):,} questions written to {out}")


def read_mended(source: str, split: str) -> Mended:
    """Read and mend a data set; `split` is the one that is read where a source has several."""
    from qa.data.doctor.mend import mend_examples
    from qa.data.formats import read_unchecked

    mended = mend_examples(read_unchecked(source, split))
    why = "; ".join(f"{count:,} {done}" for done, count in mended.answers.items())
    require(mended.examples, f"{source}: no question has an answer that could be mended ({why})")
    return mended


def check_output_file(out: Path) -> None:
    """Raise UserError unless `out` can be written as a new JSON file."""
    require(out.suffix == ".json", f"{out}: the mended data is JSON; name it so (.json)")
    require(not os.path.lexists(out), f"{out}: exists; it is never overwritten, name another file")
    require(out.parent.is_dir(), f"{out}: there is no directory {out.parent}")


def make_report(
    options: argparse.Namespace,
    mended: Mended,
    evaluation: Mended | None,
    tokenizer: PreTrainedTokenizerFast | None,
) -> dict[str, Any]:
    """Return all that was found, as JSON values.

    Args:
        options: The command line.
        mended: The data; lengths, ceilings and windows are those of its mended examples.
        evaluation: The data of --eval-data, mended; None without it.
        tokenizer: None leaves out what needs one.
    """
    from qa.data.doctor.profile import profile_texts, profile_tokens
    from qa.data.holdout import split_holdout
    from qa.data.overlap import find_overlap

    report = {"file": options.file, "model": options.model, **mending(mended)}
    parts = {"all questions": mended.examples}
    if evaluation is not None:
        report["eval_data"] = {"file": options.eval_data, **mending(evaluation)}
        parts = {"training": mended.examples, "evaluation": evaluation.examples}
    elif options.holdout is not None:
        training, held_out = split_holdout(mended.examples, options.holdout)
        parts = {"training": training, "held out": held_out}
    if len(parts) == 2:
        report["overlap"] = asdict(find_overlap(*parts.values()))
    windows = from_values(WindowOptions, vars(options))
    decoding = from_values(DecodeOptions, vars(options))
    profiles = {name: profile_texts(examples) for name, examples in parts.items()}
    if tokenizer is not None:
        from qa.models.boundary_head import NUM_CHOICES

        limits = decoding.max_answer_length, NUM_CHOICES
        for name, examples in parts.items():
            profiles[name].update(profile_tokens(examples, tokenizer, windows, *limits))
    return {**report, "parts": profiles}


def mending(mended: Mended) -> dict[str, Any]:
    """Return what was wrong with a data set and what was done about it, as JSON values."""
    return {
        "answers": mended.num_answers,
        "misplaced_answers": mended.num_misplaced,
        "answer_start_counts": mended.unit if mended.num_misplaced else "characters",
        "questions_with_decomposed_hangul": mended.decomposed,
        "mending": dict(mended.answers),
        "affected_ids": mended.affected,
        "questions_left_out": mended.questions_left_out,
        "ids_renamed": mended.ids_renamed,
    }
