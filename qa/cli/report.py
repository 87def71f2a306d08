"""What a reader gets wrong, as one HTML file; made of prediction files, without a model.

python -m qa report runs/korquad --data FILE.json --output report.html
python -m qa report runs/a runs/b --data FILE.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qa.cli.parser import Parser, run_command
from qa.cli.scored_data import add_flags, read_questions
from qa.cli.scored_predictions import check_predictions
from qa.cli.startup import no_collection, prepare_hub
from qa.engine.errors import notice, require
from qa.engine.json_files import read_json
from qa.outputs.directory import CONFIG_FILE, REPORT_FILE, require_utf8
from qa.outputs.prediction_files import NBEST_FILE, PREDICTIONS_FILE

if TYPE_CHECKING:
    from qa.data.examples import Example
    from qa.report.predicted import Predicted


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa report`."""
    parser = Parser(
        prog="python -m qa report",
        description="What a reader gets wrong and what would help most, as one HTML file that needs"
        " no network. Of two readers also what changed.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="RUN_OR_FILE",
        help="one or two: directory that train.py or `qa evaluate` wrote, its"
        f" {NBEST_FILE}, or any program's {PREDICTIONS_FILE}, which gives fewer figures; of two the"
        " second is looked at",
    )
    add_flags(
        parser,
        nfc_help="and the predictions",
        which="; the first decides what is right",
    )
    parser.add_argument(
        "--output", default=REPORT_FILE, metavar="FILE", help=f"the page (default {REPORT_FILE})"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the page")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_command(lambda: report(make_parser().parse_args(arguments)))


@no_collection()
def report(options: argparse.Namespace) -> None:
    """Read predictions and questions, write the page and print what it begins with."""
    check_output(options)
    from qa.report.content import Report
    from qa.report.page import write_page
    from qa.report.predicted import read_predicted
    from qa.report.scores import report_scores

    files = [read_predicted(name, options.nfc) for name in options.inputs]
    prepare_hub(None, options.data)
    examples = read_questions(options, by_text=True)
    names = report_scores(examples, options.metric or ())
    check_files(files, examples, names, options.holdout)
    data = ", ".join(Path(name).name for name in options.data.split(","))
    found = Report(files, examples, names, data)
    write_page(Path(options.output), found.content())
    for line in found.lines():
        print(line)
    print(f"report: {options.output}")


def check_output(options: argparse.Namespace) -> None:
    """Raise UserError if there are too many inputs, or the page cannot be written."""
    require_utf8(*options.inputs, options.data)
    count, path = len(options.inputs), Path(options.output)
    require(count <= 2, f"pass one run or file, or two to compare, not {count}")
    require(not path.is_dir(), f"{path}: is a directory; pass --output FILE.html")
    require(path.parent.is_dir(), f"{path.parent}: no such directory; pass another --output")
    require(
        options.overwrite or not path.exists(),
        f"{path}: exists already; pass --overwrite or another --output",
    )
    sources = [Path(name) for name in (*options.inputs, *options.data.split(","))]
    sources += [source / name for source in sources for name in (PREDICTIONS_FILE, NBEST_FILE)]
    is_read = path.exists() and any(each.exists() and path.samefile(each) for each in sources)
    require(not is_read, f"{path}: is what the report is made of; pass another --output")
    # So that it is no file of a folder with the data, either.
    is_page = path.suffix.lower() in (".html", ".htm")
    require(is_page, f"{path}: the report is HTML; name it so (.html)")


def check_files(
    files: Sequence[Predicted],
    examples: Sequence[Example],
    names: Sequence[str],
    holdout: float | None,
) -> None:
    """Give a `Notice` of what does not fit the data; UserError if nothing does.

    Args:
        files: The predictions.
        examples: The questions.
        names: The official scores.
        holdout: Share of the articles that the questions are a part of; None for all.
    """
    for file in files:
        check_predictions(file.name, file.texts, examples, names, is_part=holdout is not None)
        config = Path(file.name) / CONFIG_FILE
        held_out = read_json(config, "settings").get("holdout") if config.is_file() else None
        if held_out and not holdout:
            notice(f"{file.name}: held out articles: --holdout {held_out} counts only these")
