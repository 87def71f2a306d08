"""One row, whatever its format calls the fields, as one Example."""

from __future__ import annotations

from typing import Any, TypeAlias

from qa.data.examples import Example, check_characters
from qa.data.formats.json_rows import list_of
from qa.engine.errors import UserError, require

ID_KEYS = ("id", "guid", "qid")  # guid: KLUE-MRC; qid: MRQA
ANSWER_KEYS = ("answers", "answer", "answer_text", "detected_answers")

Answer: TypeAlias = tuple[str, int]
"""Text and answer_start."""


def to_example(row: dict[str, Any], where: str, labelled: bool, number: int) -> Example:
    """Return the Example of a row; whether answers are at their offset is not checked.

    Questions are stripped, contexts stay as they are.

    Args:
        row: Its fields, of any of the formats.
        where: The position of the row, for messages.
        labelled: Whether to train or score on it; otherwise its answers are not read.
        number: The id of a row without one, unless it is labelled.

    Raises:
        UserError: A field is missing or not what it should be.
    """
    question = _text(row, "question", where).strip()
    require(question, f"{where}: the question is empty")
    context = _text(row, "context", where)
    require(not context.isspace() and context, f"{where}: the context is empty")
    example_id = _first(row, ID_KEYS)
    if example_id is None and not labelled:
        example_id = number
    require(
        type(example_id) in (str, int) and str(example_id),
        f"{where}: needs an id, a non-empty string",
    )
    check_characters(str(example_id), f"{where}: id")
    answers: list[Answer] = []
    references: list[str] = []
    if labelled and not _is_impossible(row, where):
        answers = _answers(row, where)
        references = _reference_answers(row, where, answers)
    title = row.get("title") or ""
    title = title if isinstance(title, str) else str(title)
    check_characters(title, f"{where}: title")
    return Example(
        id=str(example_id),
        question=question,
        context=context,
        answers=tuple(text for text, _ in answers),
        answer_starts=tuple(start for _, start in answers),
        title=title,
        reference_answers=tuple(references),
    )


def _is_impossible(row: dict[str, Any], where: str) -> bool:
    """Return whether the question has no answer; KLUE-MRC and SQuAD 2.0 then list wrong ones."""
    value = row.get("is_impossible")
    if isinstance(value, str):
        value = {"true": True, "1": True, "false": False, "0": False, "": False}.get(
            value.strip().lower(), value
        )
    require(
        value is None or value in (0, 1),
        f"{where}: is_impossible must be true or false",
    )
    return bool(value)


def _answers(row: dict[str, Any], where: str) -> list[Answer]:
    """Return text and start of every answer, from any of the forms of `_pairs` or from MRQA's."""
    if row.get("detected_answers") is not None:
        return _detected_answers(row["detected_answers"], row["context"], where)
    value = _first(row, ANSWER_KEYS)
    if value is None:
        return []
    pairs = _pairs(value, row.get("answer_start"), where)
    for text, start in pairs:
        require(
            isinstance(text, str) and type(start) is int,
            f"{where}: an answer needs text, a string, and answer_start, an integer",
        )
        check_characters(text, f"{where}: an answer")
    return pairs


def _pairs(value: Any, answer_start: Any, where: str) -> list[tuple[Any, Any]]:
    """Return text and start of every answer in `value`, both of whatever type they are.

    SQuAD: a list of {text, answer_start}; hub: {text: [...], answer_start: [...]}; KorQuAD 2.x: one
    {text, answer_start}; CSV: a text with `answer_start` beside it.
    """
    if isinstance(value, str):
        require(
            type(answer_start) is int,
            f"{where}: the answer is a text, which needs answer_start, an integer, beside it",
        )
        return [(value, answer_start)]
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        return [(value["text"], value.get("answer_start"))]
    if isinstance(value, dict):
        texts = list_of(value, "text", f"{where}: answers")
        starts = list_of(value, "answer_start", f"{where}: answers")
        require(
            len(texts) == len(starts),
            f"{where}: answers has {len(texts)} texts but {len(starts)} values of answer_start",
        )
        return list(zip(texts, starts, strict=True))
    if isinstance(value, list) and all(isinstance(answer, dict) for answer in value):
        return [(answer.get("text"), answer.get("answer_start")) for answer in value]
    raise UserError(f"{where}: answers must be a list of objects with text and answer_start")


def _detected_answers(value: Any, context: str, where: str) -> list[Answer]:
    """Return text and start of every span of the context in which MRQA found an answer.

    A span names its first and its last character. A file has [{text, char_spans: [[first, last],
    ...]}], the hub {text: [...], char_spans: [{start: [...], end: [...]}]}.
    """
    where = f"{where}: detected_answers"
    if isinstance(value, dict):
        lists = list_of(value, "char_spans", where)
    elif isinstance(value, list) and all(isinstance(answer, dict) for answer in value):
        lists = [answer.get("char_spans") for answer in value]
    else:
        raise UserError(f"{where} must be a list of objects with char_spans")
    found: dict[Answer, None] = {}  # an ordered set: two answers may be found at one offset
    for spans in lists:
        if isinstance(spans, dict):
            firsts, lasts = list_of(spans, "start", where), list_of(spans, "end", where)
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


def _reference_answers(row: dict[str, Any], where: str, found: list[Answer]) -> list[str]:
    """Return the answers that scores count, if they differ from those to learn from.

    MRQA lists them beside the spans that it found, and the doctor as it writes MRQA.
    """
    key, place = "reference_answers", ""
    if row.get("detected_answers") is not None:
        key, place = "answers", " beside detected_answers"
    if row.get(key) is None:
        return []
    texts = list_of(row, key, where)
    for text in texts:
        require(isinstance(text, str), f"{where}: {key}{place} must be strings")
        check_characters(text, f"{where}: an answer")
    return texts if set(texts) != {text for text, _ in found} else []


def _first(row: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """Return the value of the first key that has one, or None."""
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _text(row: dict[str, Any], key: str, where: str) -> str:
    """Return the text that a row has under `key`; UserError if there is no valid text."""
    value = row.get(key)
    if not isinstance(value, str):
        raise UserError(f"{where}: {key} must be a string")
    check_characters(value, f"{where}: {key}")
    return value
