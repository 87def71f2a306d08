"""The answers of a row, in any of the forms that files have, as texts with their places."""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from qa.data.examples import check_characters
from qa.data.formats.literals import read_literal
from qa.data.formats.names import by_field
from qa.engine.errors import UserError, require, shown

Raw: TypeAlias = tuple[Any, Any, Any]
"""Text, start and end of an answer, of whatever types they are in the file."""

CUT = re.compile(r"\s*[\[{].*\btext\b", re.DOTALL)  # what `to_csv` writes begins so
MISSING = object()  # the text of an answer that has none, not even null: its start and end say it
ANSWER_FIELDS = {"answers", "spans", "detected_answers"}
PLACE = {"answer_start", "answer_end"}  # both together are an answer, too
NULLS = ("", "nan", "null", "none", "<na>", "n/a", "#n/a")
"""What programs write into a cell that has no value, in small letters"""

LARGEST_NUMBER = 10**4000  # Python writes integers of up to 4,300 digits


class Found(NamedTuple):
    """One answer of a row."""

    text: str  # without a character that is no blank: the answer is empty
    start: int | None  # None: the row has no answer_start
    is_number: bool = False  # in the file, not a text


def has_answer_field(fields: Collection[str]) -> bool:
    """Return whether answers are among the fields of a row; an end without a start is none."""
    return not ANSWER_FIELDS.isdisjoint(fields) or PLACE.issubset(fields)


def answers_of(fields: dict[str, Any], context: str, where: str) -> list[Found]:
    """Return the answers among the fields of a row, empty ones included.

    A list of {text, answer_start}, as SQuAD has it; {text: [...], answer_start: [...]}, as the hub
    has it; one {text, answer_start}; one text with answer_start beside it; a list of texts; the
    spans of annotation tools, which may have start and end only; any of these as the text of a
    cell. Raises UserError for other forms, naming `where`.
    """
    value = fields.get("answers")
    start, end = fields.get("answer_start"), fields.get("answer_end")
    if fields.get("spans") is not None:
        value = _spans(fields["spans"], where)
    elif value is None and "answers" not in fields and start is not None and end is not None:
        value = MISSING
    if value is None:
        return []
    if isinstance(value, str) and value not in context:
        value = _or_text(value)
        if isinstance(value, str) and CUT.match(value):
            raise UserError(
                f"{where}: the answers are in a form that is not whole, or is no JSON, Python or"
                f" numpy ({shown(value)})"
            )
    if isinstance(start, str):
        start = _or_text(start)
    return [_found(*answer, context, where) for answer in _raw(value, start, end, where)]


def whole_number(value: Any, where: str, name: str) -> int | None:
    """Return a number of any type, also as a text such as 6, 6.0 or 1,005; None for no value.

    Raises UserError, naming `where` and the `name` of the number, for anything else.
    """
    if isinstance(value, (float, Decimal)) and value == value // 1:
        value = int(value)
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in NULLS:
            return None
        if re.fullmatch(r"-?([0-9]{1,15}|[0-9]{1,3}(,[0-9]{3}){1,4})(\.0*)?", text):
            value = int(text.replace(",", "").partition(".")[0])
    if value is None or value != value:
        return None
    if type(value) is not int or abs(value) >= LARGEST_NUMBER:
        raise UserError(f"{where}: {name} must be a whole number{_quoted(value)}")
    return value


def _spans(value: Any, where: str) -> list[Any]:
    """Return the spans that an annotation tool writes as labels; UserError for other labels."""
    value = _or_text(value) if isinstance(value, str) else value
    if isinstance(value, list) and all(isinstance(span, (dict, list)) for span in value):
        return value
    raise UserError(f"{where}: label must be a list of spans with start and end")


def _or_text(text: str) -> Any:
    """Return the list or object that a text is, or the text itself."""
    value = read_literal(text)
    return text if value is None else value


def _raw(value: Any, start: Any, end: Any, where: str) -> list[Raw]:
    """Return text, start and end of every answer in `value`, which `start` and `end` are beside."""
    if isinstance(value, dict):
        return _from_object(value, start, where)
    if not isinstance(value, list):
        return [(value, start, end)]
    raw: list[Raw] = []
    for item, its_start in zip(value, _beside(start, len(value), where), strict=True):
        if isinstance(item, dict):
            raw += _from_object(item, its_start, where)
        elif isinstance(item, list):
            is_span = len(item) >= 2 and type(item[0]) is type(item[1]) is int
            require(is_span, f"{where}: a list among the answers must be [start, end, label]")
            raw.append((MISSING, item[0], item[1]))
        else:
            raw.append((item, its_start, None))
    return raw


def _from_object(value: dict[str, Any], start: Any, where: str) -> list[Raw]:
    """Return the answers of an object with text and answer_start, or with lists of them."""
    fields = by_field(value)
    # `text` names the context in rows, and is the answer here.
    text = fields.get("answers", fields.get("context", MISSING))
    start = fields.get("answer_start", start)
    if not isinstance(text, list) and not isinstance(start, list):
        return [(text, start, fields.get("answer_end"))]
    texts = text if isinstance(text, list) else [text]
    starts = _beside(start, len(texts), f"{where}: answers")
    return [(item, its_start, None) for item, its_start in zip(texts, starts, strict=True)]


def _beside(start: Any, number: int, where: str) -> list[Any]:
    """Return the starts of `number` answers, from one value or a list beside them."""
    if start is None:
        return [None] * number
    starts = start if isinstance(start, list) else [start]
    if len(starts) != number:
        raise UserError(
            f"{where} has {number} texts but {len(starts)} values of answer_start",
        )
    return starts


def _found(text: Any, start: Any, end: Any, context: str, where: str) -> Found:
    """Return the answer; its text is that of the context from start to end if it has none."""
    if text is MISSING:
        return _span(start, end, context, where)
    place = start if type(start) is int else whole_number(start, where, "answer_start")
    if text is None or text != text:
        return Found("", place)
    if place in (None, -1) and _is_null(text) and text not in context:
        return Found("", place)
    is_number = type(text) in (int, float) and abs(text) < LARGEST_NUMBER
    if is_number:
        text = str(int(text) if text == int(text) else text)
    if not isinstance(text, str):
        raise UserError(f"{where}: an answer needs text, a string{_quoted(text)}")
    check_characters(text, f"{where}: an answer")
    return Found(text, place, is_number)


def _span(start: Any, end: Any, context: str, where: str) -> Found:
    """Return the answer that stands in the context from start to end."""
    first, stop = (
        whole_number(start, where, "answer_start"),
        whole_number(end, where, "the end of an answer"),
    )
    if first is None or stop is None:
        raise UserError(f"{where}: an answer needs text, or the characters start and end")
    require(
        0 <= first < stop <= len(context),
        f"{where}: an answer must lie in the context, which has {len(context)} characters",
    )
    return Found(context[first:stop], first)


def _is_null(value: Any) -> bool:
    """Return whether a value is a text that stands for no value."""
    return isinstance(value, str) and value.strip().lower() in NULLS


def _quoted(value: Any) -> str:
    """Return the value as the end of a message, or nothing if it would be long."""
    return "" if isinstance(value, (list, dict)) else f", not {shown(repr(value))}"
