"""Flags for fields of the configuration: each named like its field, with the field's help text."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import Field
from typing import Any


def add_option(
    parser: argparse.ArgumentParser, field: Field[Any], default: str | None = None
) -> None:
    """Add the flag of a field that `qa.engine.config.option` made.

    If the flag is not given, the parsed options have no value for it. `default`: what the help text
    says of that case; None for the field's own default.
    """
    flag = "--" + field.name.replace("_", "-")
    if field.type == "bool":
        parser.add_argument(
            flag,
            dest=field.name,
            action=argparse.BooleanOptionalAction,
            default=argparse.SUPPRESS,
            help=field.metadata["help"],
        )
        return
    if default is None and field.default is not None:
        default = str(field.default)
    shown_default = "" if default is None else f" (default {default})"
    parser.add_argument(
        flag,
        dest=field.name,
        metavar=metavar(field),
        type=converter(str(field.type)),
        default=argparse.SUPPRESS,
        help=(field.metadata["help"] + shown_default).replace("%", "%%"),
    )


def metavar(field: Field[Any]) -> str:
    """Return what --help shows as the value of a field's flag."""
    choices = field.metadata["choices"]
    if field.type == "int | str":
        return "N|epoch"
    if field.type == "int | float":
        return "FLOAT"
    return "{" + ",".join(choices) + "}" if choices else str(field.type).split(" ")[0].upper()


def converter(annotation: str) -> Callable[[str], Any]:
    """Return the function that converts a flag's text to a type such as "int | None"."""
    kinds: dict[str, Callable[[str], Any]] = {
        "int": int,
        "float": float,
        "None": _none,
        "str": str,
    }
    order = [kind for name, kind in kinds.items() if name in annotation.split(" | ")]

    def convert(text: str) -> Any:
        for kind in order:
            try:
                return kind(text)
            except ValueError:
                continue
        raise argparse.ArgumentTypeError(f"{text!r} is not {annotation.replace(' | ', ' or ')}")

    return convert


def _none(text: str) -> None:
    """Convert "none" in any case to None; ValueError for any other text."""
    if text.lower() != "none":
        raise ValueError(text)
