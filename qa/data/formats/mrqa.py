"""The answers of MRQA: the spans that it found in the context, and the texts that it scores."""

from __future__ import annotations

from typing import Any

from qa.data.examples import check_characters
from qa.engine.errors import UserError, require


def detected_answers(value: Any, context: str, where: str) -> list[tuple[str, int]]:
    """Return text and start of every span of the context in which MRQA found an answer.

    A span names its first and its last character. A file has [{text, char_spans: [[first, last],
    ...]}], the hub {text: [...], char_spans: [{start: [...], end: [...]}]}.
    """
    where = f"{where}: detected_answers"
    if isinstance(value, dict):
        lists = _list_of(value, "char_spans", where)
    elif isinstance(value, list) and all(isinstance(answer, dict) for answer in value):
        lists = [answer.get("char_spans") for answer in value]
    else:
        raise UserError(f"{where} must be a list of objects with char_spans")
    # An ordered set: two answers may be found at one offset.
    found: dict[tuple[str, int], None] = {}
    for spans in lists:
        if isinstance(spans, dict):
            firsts, lasts = _list_of(spans, "start", where), _list_of(spans, "end", where)
            counts = f"char_spans has {len(firsts)} starts but {len(lasts)} ends"
            require(len(firsts) == len(lasts), f"{where}: {counts}")
            spans = [list(pair) for pair in zip(firsts, lasts, strict=True)]
        require(isinstance(spans, list), f"{where}: char_spans must be a list")
        for span in spans:
            is_pair = isinstance(span, list) and [type(end) for end in span] == [int, int]
            require(
                is_pair and 0 <= span[0] <= span[1] < len(context),
                f"{where}: char_spans must be pairs [first, last] inside the context",
            )
            found[context[span[0] : span[1] + 1], span[0]] = None
    return list(found)


def reference_answers(texts: Any, found: list[tuple[str, int]], name: str, where: str) -> list[str]:
    """Return the answers that scores count, if they differ from those found in the context.

    Args:
        texts: What the row has, a list of strings; None if it has none.
        found: Text and start of the answers to learn from.
        name: What the row calls the texts, for messages.
        where: The position of the row, for messages.
    """
    if texts is None:
        return []
    if not isinstance(texts, list):
        raise UserError(f"{where}: {name} must be a list")
    for text in texts:
        require(isinstance(text, str), f"{where}: {name} must be strings")
        check_characters(text, f"{where}: an answer")
    return texts if set(texts) != {text for text, _ in found} else []


def _list_of(row: dict[str, Any], key: str, where: str) -> list[Any]:
    """Return the list under `key`; UserError if there is no list."""
    value = row.get(key)
    if not isinstance(value, list):
        raise UserError(f"{where}: {key} must be a list")
    return value
