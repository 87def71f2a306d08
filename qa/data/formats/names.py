"""The names under which files have what an Example needs: one table, compared by their letters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from unicodedata import normalize

FIELDS: dict[str, tuple[str, ...]] = {
    # guid: KLUE-MRC; qid: MRQA; question_id: AI-Hub
    "id": ("id", "guid", "qid", "question_id", "번호", "아이디"),
    "title": ("title", "doc_title", "제목"),
    "context": ("context", "passage", "지문", "본문", "문맥"),
    "question": ("question", "query", "질문", "문제"),
    # answers.text: Dataset.flatten() and pandas' json_normalize
    "answers": ("answers", "answer", "answer_text", "answers.text", "정답", "답변"),
    # start, end: Label Studio; *_offset: doccano; offset_start_in_doc: Haystack's feedback
    "answer_start": (
        *("answer_start", "answers.answer_start", "answer.answer_start"),
        *("start", "start_offset", "offset_start_in_doc", "시작위치", "정답시작위치"),
    ),
    "answer_end": ("answer_end", "end", "end_offset"),
    "is_impossible": ("is_impossible", "impossible", "unanswerable"),
    "detected_answers": ("detected_answers",),  # MRQA
    "reference_answers": ("reference_answers",),  # the doctor, of MRQA
}
"""What an Example needs -> its names, the first one that has a value counts."""

OTHERWISE: dict[str, tuple[str, ...]] = {
    "context": ("text",),  # Label Studio, doccano
    "spans": ("label", "labels", "entities", "annotations"),  # the same, if there are no answers
    "answers": ("text",),  # one answer of a list; Haystack's CSV
}
"""Names that count only where no name of the table is present, each for one field at most."""


def by_field(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row has of the fields above, field -> value; None for null, NaN as well.

    Of several names of a field an empty list or text counts only if no other has a value.
    """
    found: dict[str, Any] = {}
    for field, key in _keys(tuple(row)):
        value = row[key]
        if value is None or value != value:
            found.setdefault(field)
        elif value or not isinstance(value, (str, list)) or not found.get(field):
            found[field] = value
    return found


def known_keys(keys: list[str], field: str | None = None) -> list[str]:
    """Return those of the keys that name a field, or this field; the one that counts is last."""
    return [key for name, key in _keys(tuple(keys)) if field in (None, name)]


def plain(name: str) -> str:
    """Return the letters and digits of a name, by which names are compared.

    Case and width do not count, nor do blanks, marks and what is not seen, as a byte-order mark in
    the middle of a file.
    """
    return re.sub(r"[\W_]", "", normalize("NFKC", name)).casefold()


@lru_cache(maxsize=256)  # rows of a file have few sets of keys, and this takes longer than a row
def _keys(keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return (field, key) for every key that is known; of one field, what counts is last."""
    # Of ID and id, which Label Studio writes side by side, id counts.
    known = {plain(key): key for key in sorted(keys, key=str.islower)}
    found = _in_table(FIELDS, known)
    named = {field for field, _ in found}
    for field, names in OTHERWISE.items():
        taken = {key for _, key in found}
        if field not in named and not (field == "spans" and "answers" in named):
            free = {name: key for name, key in known.items() if key not in taken}
            found += _in_table({field: names}, free)
    return tuple(found)


def _in_table(table: dict[str, tuple[str, ...]], known: dict[str, str]) -> list[tuple[str, str]]:
    """Return (field, key) for the names of a table that are known, the first name last."""
    return [
        (field, known[plain(name)])
        for field, names in table.items()
        for name in reversed(names)
        if plain(name) in known
    ]
