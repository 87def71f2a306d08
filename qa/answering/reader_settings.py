"""The settings that are saved beside a model: how it was trained to cut contexts and to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from numbers import Real
from pathlib import Path
from typing import Any

from qa.answering.options import CONSTRAINED, FREE, CollectionOptions, DecodeOptions
from qa.answering.questions import is_whole, kind
from qa.data.batches.evaluation_batches import BATCH_SIZE
from qa.data.windows.options import WindowOptions
from qa.engine.config import from_values
from qa.engine.errors import UserError, require
from qa.engine.json_files import kind_of, read_json, write_json

SETTINGS_FILE = "reader.json"
DECODING = "decoding"  # saved of generative readers only, and so what tells them
THRESHOLD, TEMPERATURE = "null_score_diff_threshold", "temperature"
KINDS = (WindowOptions, DecodeOptions, CollectionOptions)
# That need not be whole.
NUMBERS = (THRESHOLD, TEMPERATURE, *(field.name for field in fields(CollectionOptions)))


def fitting_settings(model_limit: int | None) -> dict[str, float]:
    """Return settings for a model that was saved without: the usual ones, smaller if need be.

    `model_limit`: tokens that the model has positions for; None if there is no limit.
    """
    length = min(384, model_limit or 384)
    return {
        "max_seq_length": length,
        "window_overlap": length // 3,
        "max_question_length": length // 6,
    }


def make_options(
    values: dict[str, Any],
) -> tuple[WindowOptions, DecodeOptions, CollectionOptions, int]:
    """Turn settings into how contexts are cut, how answers are chosen, and the batch size."""
    known = setting_names() | {"batch_size"}
    unknown = sorted(values.keys() - known)
    require(
        not unknown,
        f"unknown settings of a reader: {', '.join(unknown)}; there are {', '.join(sorted(known))}",
    )
    values = {name: plain_number(name, value) for name, value in values.items()}
    return (
        from_values(WindowOptions, values),
        from_values(DecodeOptions, values),
        from_values(CollectionOptions, values),
        int(values.get("batch_size", BATCH_SIZE)),
    )


def setting_names() -> set[str]:
    """Return the names of what may be set when a reader is loaded."""
    return {f.name for kind in KINDS for f in fields(kind)}


def read_settings(path: Path | None) -> dict[str, Any]:
    """Read the settings saved beside a model; {} for None: qa did not make the model."""
    if path is None:
        return {}
    values = read_json(path, "a reader's settings")
    for name, value in values.items():
        types: tuple[type, ...] = (int, float) if name in NUMBERS else (int,)
        if name == DECODING:
            require(
                value in (CONSTRAINED, FREE),
                f"{path}: {name} must be {CONSTRAINED} or {FREE}, not {kind_of(value)}",
            )
            continue
        require(
            type(value) in types,
            f"{path}: {name} must be a number, such as train.py writes, not {kind_of(value)}",
        )
    unknown = sorted(values.keys() - setting_names() - {"batch_size"})
    require(not unknown, f"{path}: unknown settings: {', '.join(unknown)}")
    return values


def keep_settings(path: Path, values: Mapping[str, float | None]) -> None:
    """Write values that were fitted into the settings saved beside a model, at `path`.

    None takes a setting out: one that was fitted with other values would not fit these.
    """
    kept = {**read_settings(path), **values}
    write_json(path, {name: value for name, value in kept.items() if value is not None})


def plain_number(name: str, value: Any) -> Any:
    """Return a setting as Python's own number, or None; UserError if it must be something else.

    All but the decoding are whole numbers; those of `NUMBERS` are any number, or None.
    """
    if name == DECODING:
        return value  # checked where it is used
    is_number = name in NUMBERS
    if is_whole(value):
        return int(value)
    if is_number and isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    if is_number and value is None:
        return None
    what = "a number or None" if is_number else "a whole number"
    raise UserError(f"{name} must be {what}, not {kind(value)}")
