"""JSON and JSON lines as rows: one dict for each question, with a description of its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from qa.data.formats.files import DataFile, decode
from qa.engine.errors import UserError, require

Row = tuple[str, dict[str, Any]]
"""Where a question stands, for messages, and its fields."""


def json_rows(file: DataFile) -> Iterator[Row]:
    """Rows of `{"data": [...]}` or of a list; its entries may be nested or flat."""
    try:
        content = json.loads(decode(file))
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{file.name}: is not JSON ({error}); JSON lines need the suffix .jsonl"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        content = content["data"]
    require(
        isinstance(content, list),
        f'{file.name}: is JSON of another shape; expected {{"data": [...]}} as SQuAD has it, or a'
        " list of objects with id, context, question and answers",
    )
    for number, entry in enumerate(content):
        where = f"{file.name}: entry {number}"
        require(isinstance(entry, dict), f"{where} is not an object")
        yield from flatten(entry, where)


def json_lines_rows(file: DataFile) -> Iterator[Row]:
    """Rows of a file with one JSON object a line; MRQA's first line, the header, is none."""
    # Not splitlines: it also splits at U+2028, which JSON strings may hold as it is.
    for number, line in enumerate(decode(file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file.name}: line {number} is not JSON ({error})") from error
        require(isinstance(entry, dict), f"{file.name}: line {number} is not an object")
        if entry.keys() != {"header"}:
            yield from flatten(entry, f"{file.name}: line {number}")


def flatten(entry: dict[str, Any], where: str) -> Iterator[Row]:
    """The questions of an entry, which is an article, a context with questions, or a question.

    SQuAD, KorQuAD 1.0, KLUE-MRC: paragraphs[].qas[]; KorQuAD 2.x, MRQA: qas[].
    """
    if "paragraphs" in entry:
        for number, paragraph in enumerate(list_of(entry, "paragraphs", where)):
            place = f"{where}, paragraph {number}"
            require(isinstance(paragraph, dict), f"{place} is not an object")
            yield from _questions(paragraph, entry.get("title"), place)
    elif "qas" in entry:
        yield from _questions(entry, entry.get("title"), where)
    else:
        yield where, entry


def list_of(row: dict[str, Any], key: str, where: str) -> list[Any]:
    """A list in a row; UserError if it is none."""
    value = row.get(key)
    if not isinstance(value, list):
        raise UserError(f"{where}: {key} must be a list")
    return value


def _questions(entry: dict[str, Any], title: Any, where: str) -> Iterator[Row]:
    for number, question in enumerate(list_of(entry, "qas", where)):
        place = f"{where}, question {number}"
        require(isinstance(question, dict), f"{place} is not an object")
        yield place, {"title": title, "context": entry.get("context"), **question}
