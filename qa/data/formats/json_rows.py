"""JSON and JSON lines as rows: one dict for each question, with its position in the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

from qa.data.formats.files import DataFile, decode
from qa.engine.errors import UserError, require

Row: TypeAlias = tuple[str, dict[str, Any]]
"""Where a question stands in its file, for messages, and its fields."""


def json_rows(file: DataFile) -> Iterator[Row]:
    """Yield the rows of `{"data": [...]}` or of a list; the entries may be nested or flat."""
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
    """Yield the rows of a file with one JSON object a line; skip the header, MRQA's first line."""
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
    """Yield the questions of an entry: an article, a context with questions, or one question.

    SQuAD, KorQuAD 1.0, KLUE-MRC: paragraphs[].qas[]; KorQuAD 2.x, MRQA: qas[].
    """
    if "paragraphs" in entry:
        for number, paragraph in enumerate(list_of(entry, "paragraphs", where)):
            inner = f"{where}, paragraph {number}"
            require(isinstance(paragraph, dict), f"{inner} is not an object")
            yield from _questions(paragraph, entry.get("title"), inner)
    elif "qas" in entry:
        yield from _questions(entry, entry.get("title"), where)
    else:
        yield where, entry


def list_of(row: dict[str, Any], key: str, where: str) -> list[Any]:
    """Return the list that a row has under `key`; UserError if there is no list."""
    value = row.get(key)
    if not isinstance(value, list):
        raise UserError(f"{where}: {key} must be a list")
    return value


def _questions(entry: dict[str, Any], title: Any, where: str) -> Iterator[Row]:
    """Yield the questions about one context as flat rows."""
    for number, question in enumerate(list_of(entry, "qas", where)):
        inner = f"{where}, question {number}"
        require(isinstance(question, dict), f"{inner} is not an object")
        yield inner, {"title": title, "context": entry.get("context"), **question}
