"""The settings that are saved beside a model: how it was trained to cut contexts and to answer."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from qa.answering.options import DecodeOptions
from qa.answering.questions import kind
from qa.data.batches.evaluation_batches import BATCH_SIZE
from qa.data.windows.options import WindowOptions
from qa.engine.config import from_values
from qa.engine.errors import require
from qa.engine.json_files import kind_of, read_json

SETTINGS_FILE = "reader.json"
THRESHOLD = "null_score_diff_threshold"


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


def make_options(values: dict[str, float]) -> tuple[WindowOptions, DecodeOptions, int]:
    """Turn settings into how contexts are cut, how answers are chosen, and the batch size."""
    known = setting_names() | {"batch_size"}
    unknown = sorted(values.keys() - known)
    require(
        not unknown,
        f"unknown settings of a reader: {', '.join(unknown)}; there are {', '.join(sorted(known))}",
    )
    for name, value in values.items():
        require_number(name, value)
    return (
        from_values(WindowOptions, values),
        from_values(DecodeOptions, values),
        int(values.get("batch_size", BATCH_SIZE)),
    )


def setting_names() -> set[str]:
    """Return the names of what may be set when a reader is loaded."""
    return {f.name for kind in (WindowOptions, DecodeOptions) for f in fields(kind)}


def read_settings(path: Path | None) -> dict[str, float]:
    """Read the settings saved beside a model; {} for None: qa did not make the model."""
    if path is None:
        return {}
    values = read_json(path, "a reader's settings")
    for name, value in values.items():
        types = (int, float) if name == THRESHOLD else (int,)
        require(
            type(value) in types,
            f"{path}: {name} must be a number, such as train.py writes, not {kind_of(value)}",
        )
    unknown = sorted(values.keys() - setting_names() - {"batch_size"})
    require(not unknown, f"{path}: unknown settings: {', '.join(unknown)}")
    return values


def require_number(name: str, value: Any) -> None:
    """Raise UserError unless a setting is a whole number; the threshold any number, or None."""
    if name == THRESHOLD and (value is None or type(value) is float):
        return
    what = "a number or None" if name == THRESHOLD else "a whole number"
    require(type(value) is int, f"{name} must be {what}, not {kind(value)}")


def require_types(directory: Any, device: Any, precision: Any, batch_size: Any) -> None:
    """Raise UserError, naming it, if an argument of `Reader.from_pretrained` is of another type."""
    require(
        isinstance(directory, str | Path),
        f"pass the directory of a reader or an id of the hub, not {kind(directory)}",
    )
    require(str(directory), "the directory of the reader is empty")
    for name, value in (("device", device), ("precision", precision)):
        require(
            isinstance(value, str), f"{name} must be a string such as 'auto', not {kind(value)}"
        )
    if batch_size is not None:
        require_number("batch_size", batch_size)
