"""Predictions from any program: one text, or one number, for each id.

{"q1": "text"}                                       SQuAD's, KorQuAD's, qa's predictions.json
{"q1": [{"text": "best"}, {"text": "next"}]}         nbest_predictions.json
[{"id": "q1", "prediction_text": "text"}]            evaluate's squad and squad_v2
the same rows as JSON lines, CSV or TSV; also those that `qa predict --json` prints
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from qa.data.formats.files import open_files
from qa.data.formats.names import plain
from qa.data.formats.row_to_example import read_id
from qa.engine.errors import UserError, notice, require, shown
from qa.engine.json_files import kind_of
from qa.outputs.prediction_rows import prediction_rows

# Of the names of a row, compared as `plain` has them, the first one that it has counts.
ID_KEYS = ("id", "question_id", "example_id", "guid", "qid")
PREDICTION_KEYS = (
    "prediction_text",
    "prediction",
    "predicted_answer",
    "pred",
    "best_span_str",  # AllenNLP
)
TEXT_KEYS = (*PREDICTION_KEYS, "answer", "text", "answers")  # a data set has the last three, too
NUMBER_KEYS = ("no_answer_probability", "na_prob", "null_odds")
GOLD_KEYS = ("answer_start", "is_impossible", "context")  # a data set has them

Entry: TypeAlias = tuple[str, str, Any]
"""Where something is said about a question, for messages, the question's id, and what is said."""


def read_prediction_file(path: str) -> dict[str, str]:
    """Return the {id: text} of a prediction file in any of the forms above.

    Of several answers to a question the first counts, which a `Notice` says. Raises UserError,
    naming the place, for anything else, and for an id that stands twice.
    """
    predictions: dict[str, str] = {}
    with_several = 0
    for where, key, value in _entries(path, "{id: text}", TEXT_KEYS):
        if isinstance(value, list):
            with_several += len(value) > 1
            require(
                all(isinstance(answer, dict) for answer in value),
                f"{where} has a list of texts, which does not say which one is meant; pass one",
            )
            value = value[0] if value else ""
        if isinstance(value, dict):
            value = _named(value, TEXT_KEYS, where)
        require(isinstance(value, str), f"{where} has {kind_of(value)}, not a text")
        _add(predictions, key, value, where)
    if with_several:
        notice(f"{path}: {with_several} questions have several answers; the first of each counts")
    return predictions


def read_na_probs(path: str) -> dict[str, float]:
    """Return the {id: number} of no-answer probabilities or odds; UserError if it is none."""
    numbers: dict[str, float] = {}
    for where, key, value in _entries(path, "{id: number}", NUMBER_KEYS):
        if isinstance(value, str):  # of CSV
            value = _number(value)
        is_number = type(value) in (int, float) and math.isfinite(value)
        require(is_number, f"{where} has {kind_of(value)}, not a number")
        _add(numbers, key, value, where)
    return numbers


def _entries(path: str, expected: str, keys: tuple[str, ...]) -> Iterator[Entry]:
    """Yield what a file says about each question.

    Args:
        path: The file.
        expected: What it should hold, for messages.
        keys: Names of what a row says.
    """
    require(not os.path.isdir(path), f"{path}: is a directory, not a file of {expected}")
    files = list(open_files(Path(path)))
    require(len(files) == 1, f"{path}: holds {len(files)} files; pass one of them")
    rows = prediction_rows(files[0])
    if isinstance(rows, dict) and _is_row(rows):  # JSON lines of one line
        rows = iter([(path, rows)])
    if isinstance(rows, dict):
        for key, value in rows.items():
            yield f"{path}: expected {expected}, but {shown(key)!r}", key, value
        return
    for where, row in rows:
        key = read_id(_named(row, ID_KEYS, where), where)
        require(key, f"{where}: the id is empty")
        yield f"{where}: {shown(key)!r}", key, _named(row, keys, where)


def _is_row(content: Mapping[str, Any]) -> bool:
    """Return whether an object is one row, and not {id: text}."""
    return _first(content, ID_KEYS) is not None and _first(content, TEXT_KEYS) is not None


def _named(row: Mapping[str, Any], keys: tuple[str, ...], where: str) -> Any:
    """Return what a row has under the first of the keys that it has; UserError if under none."""
    found = _first(row, keys)
    if found is None:
        raise UserError(f"{where} has no {keys[0]}, only {', '.join(map(shown, row)) or 'nothing'}")
    key, name = found
    gold = _first(row, GOLD_KEYS)
    require(
        gold is None or key not in TEXT_KEYS or key in PREDICTION_KEYS,
        f"{where} has {gold and gold[0]}, so this is a data set with its gold answers; pass"
        " predictions",
    )
    return row[name]


def _first(row: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the first of the keys that a row has, and its name there; None if it has none."""
    names = {plain(name): name for name in row}
    return next(((key, names[plain(key)]) for key in keys if plain(key) in names), None)


def _add(found: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Add what was found to a question; UserError if there is something already."""
    require(key not in found, f"{where} stands twice")
    found[key] = value


def _number(text: str) -> float | str:
    """Return the number that a text is, or the text."""
    try:
        return float(text)
    except ValueError:
        return text
