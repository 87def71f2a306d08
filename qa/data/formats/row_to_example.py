"""One row, whatever the format calls its fields, as one Example."""

from __future__ import annotations

from typing import Any

from qa.data.examples import Example, check_characters
from qa.data.formats.json_rows import list_of
from qa.engine.errors import UserError, require

ID_KEYS = ("id", "guid", "qid")  # guid: KLUE-MRC; qid: MRQA
ANSWER_KEYS = ("answers", "answer", "answer_text", "detected_answers")

Answer = tuple[str, int]
"""Text and answer_start."""


def to_example(row: dict[str, Any], where: str, labelled: bool, number: int) -> Example:
    """The Example of a row; whether answers are at their offset is not looked at.

    labelled: to train or score on; otherwise answers are not read and a row without id gets its
    number. Questions are stripped, contexts stay as they are.
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
    """Whether the question has no answer; what KLUE-MRC and SQuAD 2.0 then list is not one."""
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
    """Text and start of every answer, in any of the usual forms.

    SQuAD: a list of {text, answer_start}; hub: {text: [...], answer_start: [...]}; KorQuAD 2.x: one
    {text, answer_start}; CSV: a text with answer_start beside it; MRQA: detected_answers.
    """
    if row.get("detected_answers") is not None:
        return _detected_answers(row["detected_answers"], row["context"], where)
    value = _first(row, ANSWER_KEYS)
    if value is None:
        return []
    pairs: list[tuple[Any, Any]]
    if isinstance(value, str):
        require(
            type(row.get("answer_start")) is int,
            f"{where}: the answer is a text, which needs answer_start, an integer, beside it",
        )
        pairs = [(value, row["answer_start"])]
    elif isinstance(value, dict) and isinstance(value.get("text"), str):
        pairs = [(value["text"], value.get("answer_start"))]
    elif isinstance(value, dict):
        texts = list_of(value, "text", f"{where}: answers")
        starts = list_of(value, "answer_start", f"{where}: answers")
        require(
            len(texts) == len(starts),
            f"{where}: answers has {len(texts)} texts but {len(starts)} values of answer_start",
        )
        pairs = list(zip(texts, starts, strict=True))
    elif isinstance(value, list) and all(isinstance(answer, dict) for answer in value):
        pairs = [(answer.get("text"), answer.get("answer_start")) for answer in value]
    else:
        raise UserError(f"{where}: answers must be a list of objects with text and answer_start")
    for text, start in pairs:
        require(
            isinstance(text, str) and type(start) is int,
            f"{where}: an answer needs text, a string, and answer_start, an integer",
        )
        check_characters(text, f"{where}: an answer")
    return pairs


def _detected_answers(value: Any, context: str, where: str) -> list[Answer]:
    """MRQA: every place where an answer was found, as the context has it; both ends are inside.

    A file holds [{text, char_spans: [[first, last], ...]}], the hub {text: [...], char_spans:
    [{start: [...], end: [...]}]}.
    """
    where = f"{where}: detected_answers"
    if isinstance(value, dict):
        lists = list_of(value, "char_spans", where)
    elif isinstance(value, list) and all(isinstance(answer, dict) for answer in value):
        lists = [answer.get("char_spans") for answer in value]
    else:
        raise UserError(f"{where} must be a list of objects with char_spans")
    found: dict[Answer, None] = {}  # an ordered set: two answers may be found at one place
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
    """MRQA: the answers as people wrote them, if the context has others; its score counts these."""
    if row.get("detected_answers") is None or row.get("answers") is None:
        return []
    texts = list_of(row, "answers", where)
    for text in texts:
        require(isinstance(text, str), f"{where}: answers beside detected_answers must be strings")
        check_characters(text, f"{where}: an answer")
    return texts if set(texts) != {text for text, _ in found} else []


def _first(row: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """The value of the first key that has one."""
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _text(row: dict[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise UserError(f"{where}: {key} must be a string")
    check_characters(value, f"{where}: {key}")
    return value
