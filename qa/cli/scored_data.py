"""The questions with gold answers that `qa evaluate` and `qa score` use."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from qa.evaluation.null_threshold import NO_ANSWER_METRICS
from qa.metrics import DEFAULT_METRICS, METRICS

if TYPE_CHECKING:
    from qa.data.examples import Example


def add_flags(parser: argparse.ArgumentParser, nfc_help: str, which: str = "") -> None:
    """Add the flags that name the data and the scores.

    Args:
        parser: Gets the flags.
        nfc_help: Help text: what --nfc does besides composing the data.
        which: Help text: which of the scores counts, if one does.
    """
    add_data_flags(parser, f", {nfc_help}")
    parser.add_argument(
        "--metric",
        action="append",
        choices=list(METRICS),
        help=f"official score, may be repeated (default {' and '.join(DEFAULT_METRICS)}, and with"
        f" questions that have no answer {' and '.join(NO_ANSWER_METRICS)}{which})",
    )


def add_data_flags(parser: argparse.ArgumentParser, nfc_help: str) -> None:
    """Add the flags that name the data; for `nfc_help` see `add_flags`."""
    parser.add_argument("--data", required=True, help="as for train.py --eval-data")
    parser.add_argument(
        "--nfc",
        action="store_true",
        help=f"compose decomposed Hangul (NFD), as train.py --nfc{nfc_help}",
    )
    parser.add_argument(
        "--holdout",
        type=float,
        default=None,
        help="score only the articles that train.py --holdout with this value holds out",
    )


def read_questions(options: argparse.Namespace, by_text: bool = False) -> list[Example]:
    """Read the data that the flags name; UserError if no question in it has an answer.

    `by_text`: answers need no place in their context; see `qa.data.formats.read_examples`.
    """
    from qa.data.formats import read_examples, require_answers
    from qa.data.holdout import split_holdout

    # What train.py holds out is held out of the training data.
    split = "validation" if options.holdout is None else "train"
    examples = read_examples(options.data, split=split, nfc=options.nfc, by_text=by_text)
    if options.holdout is not None:
        _, examples = split_holdout(examples, options.holdout)
    require_answers(examples, options.data, by_text)
    return examples
