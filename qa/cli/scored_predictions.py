"""Prediction files beside the questions they are to answer: what does not fit is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from unicodedata import normalize

from qa.data.nfc import hangul_form
from qa.engine.errors import first_few, notice, require
from qa.metrics.score import missing_note

if TYPE_CHECKING:
    from qa.data.examples import Example


def check_predictions(
    path: str,
    predictions: Mapping[str, str],
    examples: Sequence[Example],
    names: Sequence[str],
    is_part: bool,
) -> None:
    """Give a `Notice` of each way in which predictions and questions do not fit together.

    These are questions without a prediction, predictions without a question, predictions that are
    all empty, and decomposed Hangul beside composed. UserError if no question has a prediction.

    Args:
        path: The prediction file, for messages.
        predictions: Its {id: text}.
        examples: The questions.
        names: The official scores, which count missing predictions in different ways.
        is_part: The questions are a part of the data, so that others may have predictions.
    """
    missing = [example.id for example in examples if example.id not in predictions]
    ids = {example.id for example in examples}
    extra = [key for key in predictions if key not in ids]
    hint = alike_note(missing, extra)
    require(
        len(missing) < len(examples),
        f"{path}: has no prediction for any of the {len(examples)} questions (its ids:"
        f" {first_few(list(predictions))}; the data's: {first_few(missing)}){hint}",
    )
    if missing:
        notice(f"{path}: {missing_note(missing, len(examples), names)}{hint}")
    if extra and not is_part:
        notice(
            f"{path}: {len(extra)} predictions belong to no question of the data"
            f" ({first_few(extra)}); they do not count"
        )
    found = [(e, predictions[e.id]) for e in examples if e.id in predictions]
    if not any(text.strip() for _, text in found):
        notice(f"{path}: all {len(found)} predictions are empty")
    unlike = [e.id for e, text in found if is_unlike(text, e.gold_answers)]
    if unlike:
        notice(
            f"{path}: of {len(unlike)} predictions and their gold answers one side is decomposed"
            f" Hangul (NFD) ({first_few(unlike)}), so they are never equal; --nfc composes both"
        )


def alike_note(missing: Sequence[str], extra: Sequence[str]) -> str:
    """Return what to add to a message if ids are those of questions but for how they are written.

    Args:
        missing: Ids of the questions that have no prediction.
        extra: Ids of the predictions that have no question.
    """
    written = {as_compared(key) for key in extra}
    alike = [key for key in missing if as_compared(key) in written]
    return (
        f"; the ids of {len(alike)} ({first_few(alike)}) differ only in blanks, case, Unicode form"
        " or a .0 at the end: write them as the data has them"
        if alike
        else ""
    )


def as_compared(key: str) -> str:
    """Return an id without what spreadsheets, pandas and macOS change of one."""
    return normalize("NFC", key.strip().removesuffix(".0")).casefold()


def is_unlike(text: str, golds: Sequence[str]) -> bool:
    """Return whether text and gold answers have Hangul, and none of them in the text's form."""
    forms = {hangul_form(gold) for gold in golds} - {None}
    return bool(forms) and hangul_form(text) not in {None, *forms}


def check_na_probs(
    path: str,
    na_probs: Mapping[str, float],
    predictions: Mapping[str, str],
    examples: Sequence[Example],
) -> None:
    """Raise UserError if a question that has a prediction has no no-answer probability.

    Args:
        path: The file of probabilities, for the message.
        na_probs: Its {id: number}.
        predictions: The {id: text} of the prediction file.
        examples: The questions.
    """
    without = [e.id for e in examples if e.id in predictions and e.id not in na_probs]
    require(
        not without,
        f"{path}: has no number for {len(without)} questions that have a prediction"
        f" ({first_few(without)})",
    )
