"""JSON and JSON lines as rows: one dict for each question, with its position in the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from qa.data.formats.files import DataFile, decode
from qa.data.formats.json_mistakes import reason_of
from qa.data.formats.json_shapes import entries_of
from qa.data.formats.names import by_field
from qa.data.formats.splits import NO_SPLITS
from qa.engine.errors import UserError, require

Row: TypeAlias = tuple[str, dict[str, Any]]
"""Where a question stands in its file, for messages, and its fields."""

LINE_SUFFIXES = (".jsonl", ".ndjson")
NESTED = ("paragraphs", "qas")
"""What holds the questions of an entry that is no question itself"""


def json_rows(file: DataFile, split: str, is_named: bool = False) -> Iterator[Row]:
    """Yield the rows of a JSON value or of JSON lines, whichever the file holds.

    Args:
        file: Of any suffix: many tools write JSON lines to .json.
        split: The part that is read of `{"train": [...], "validation": [...]}`.
        is_named: Whether somebody named this split.
    """
    text = decode(file)
    is_lines = file.suffix in LINE_SUFFIXES
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if not is_lines and not follows_a_line(error, text):
            raise UserError(f"{file.name}: is not JSON ({reason_of(error, text)})") from error
        require(not is_named, f"{file.name}: {NO_SPLITS}")
        # Not splitlines: it also splits at U+2028, which JSON strings may hold as it is.
        yield from line_rows(file.name, text.split("\n"), split)
        return
    if isinstance(content, dict) and content.keys() == {"header"}:
        return
    place = f"{file.name}: line 1" if is_lines else file.name
    for where, entry in entries_of(content, place, split, is_named):
        yield from flatten(entry, f"{where}: entry 0" if where == file.name else where)


def flatten(entry: dict[str, Any], where: str) -> Iterator[Row]:
    """Yield the questions of an entry: an article, a context with questions, or one question.

    SQuAD, KorQuAD 1.0, KLUE-MRC, AI-Hub: paragraphs[].qas[]; KorQuAD 2.x, MRQA: qas[].
    """
    if "paragraphs" in entry:
        title = by_field(entry).get("title")
        for number, paragraph in enumerate(list_of(entry, "paragraphs", where)):
            inner = f"{where}, paragraph {number}"
            require(isinstance(paragraph, dict), f"{inner} is not an object")
            yield from _questions(paragraph, title, inner)
    elif "qas" in entry:
        yield from _questions(entry, None, where)
    else:
        yield where, entry


def list_of(row: dict[str, Any], key: str, where: str) -> list[Any]:
    """Return the list that a row has under `key`, one object as a list; UserError for others."""
    value = row.get(key)
    if isinstance(value, dict):  # Haystack's feedback has one question as `qas`
        return [value]
    if not isinstance(value, list):
        raise UserError(f"{where}: {key} must be a list")
    return value


def _questions(entry: dict[str, Any], title: Any, where: str) -> Iterator[Row]:
    """Yield the questions about one context as flat rows; `title` counts if the entry has none."""
    fields = by_field(entry)
    inherited = {"title": fields.get("title") or title, "context": fields.get("context")}
    for number, question in enumerate(list_of(entry, "qas", where)):
        inner = f"{where}, question {number}"
        require(isinstance(question, dict), f"{inner} is not an object")
        yield inner, {**inherited, **question}


def line_rows(name: str, lines: Iterable[str], split: str) -> Iterator[Row]:
    """Yield the rows of JSON lines, each an entry or a list of them."""
    for where, entry in json_lines(name, lines):
        require(isinstance(entry, (dict, list)), f"{where} is not an object")
        for place, each in entries_of(entry, where, split):
            yield from flatten(each, place)


def json_lines(
    name: str,
    lines: Iterable[str],
    parse: Callable[[str, str], Any] = lambda line, where: json.loads(line),
    pass_over: Callable[[str], None] | None = None,
) -> Iterator[tuple[str, Any]]:
    """Yield where a line stands, and its value; blank lines and MRQA's header are left out.

    Args:
        name: Of the file, for messages.
        lines: Its lines.
        parse: Returns the value of a line that stands there.
        pass_over: Is told of lines behind the first that are no JSON. None: they are UserErrors, as
            the first always is.
    """
    is_first = True
    for number, line in enumerate(lines, 1):
        line = line.removeprefix("\ufeff")  # files with byte-order marks that were put together
        if not line.strip():
            continue
        where = f"{name}: line {number}"
        try:
            value = parse(line, where)
        except UserError:
            raise
        except (ValueError, RecursionError) as error:
            message = f"{where} is not JSON ({reason_of(error, line)})"
            if pass_over is None or is_first:
                raise UserError(message) from error
            pass_over(message)
            continue
        is_first = False
        if not isinstance(value, dict) or value.keys() != {"header"}:
            yield where, value


def follows_a_line(error: Exception, text: str) -> bool:
    """Return whether the error is only that more follows a first line that is JSON."""
    return (
        isinstance(error, json.JSONDecodeError)
        and error.msg == "Extra data"
        and "\n" not in text[: error.pos].strip()
        and error.lineno > 1
    )
