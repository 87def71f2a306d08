"""One row, whatever its format calls the fields, as one Example."""

from __future__ import annotations

import hashlib
from typing import Any
from unicodedata import normalize

from qa.data.examples import Example, check_characters
from qa.data.formats.annotations import from_task, is_task
from qa.data.formats.answers import NULLS, Found, answers_of, has_answer_field
from qa.data.formats.findings import (
    EMPTY_ANSWER,
    MADE_ID,
    NO_ANSWER,
    NO_FIELD,
    NOT_ANNOTATED,
    NOT_MARKED,
    NUMBER,
    PLACED,
    SENTENCES,
    SEVERAL_PLACES,
    WRITTEN,
    Findings,
)
from qa.data.formats.mrqa import detected_answers, reference_answers
from qa.data.formats.names import by_field
from qa.data.formats.place import NOWHERE, SEVERAL, place_of
from qa.data.nfc import UNKNOWN
from qa.engine.errors import UserError, first_few, require, shown

TRUTH = {
    **dict.fromkeys(("true", "t", "yes", "y", "1", "1.0", "예", "네"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0", "0.0", "아니오", "아니요", *NULLS), False),
}
"""How files write is_impossible, compared without case."""


def to_example(row: dict[str, Any], where: str, labelled: bool, findings: Findings) -> Example:
    """Return the Example of a row; whether answers are at their offset is not checked.

    Questions are stripped, contexts stay as they are. An answer without answer_start is placed
    where its text stands, if that is once; otherwise it begins at `UNKNOWN`. Where the findings say
    that answers need no place, it is placed where its text stands first; one whose text stands
    nowhere is among the texts to score with only.

    Args:
        row: Its fields, of any of the formats.
        where: The position of the row, for messages.
        labelled: Whether to train or score on it; otherwise its answers are not read.
        findings: Is told what was decided about the row.

    Raises:
        UserError: A field is missing or not what it should be.
    """
    marked: Any = True
    if "data" in row and is_task(row):
        row = from_task(row, where)
        marked = row["answers"]
    fields = by_field(row)
    marked = fields.get("spans", marked)
    question = _text(fields, "question", row, where).strip()
    require(question, f"{where}: the question is empty")
    has_sentences = isinstance(fields.get("context"), list)
    if has_sentences:
        fields["context"] = _joined(fields["context"], where)
    context = _text(fields, "context", row, where)
    require(not context.isspace() and context, f"{where}: the context is empty")
    example_id = read_id(fields.get("id"), where)
    if not example_id:
        example_id = made_id(question, context)
        findings.add(MADE_ID, example_id)
    title = fields.get("title") or ""
    title = str(title) if isinstance(title, (str, int, float)) else ""
    check_characters(title, f"{where}: title")
    if has_sentences:
        findings.add(SENTENCES, example_id)
    if labelled and not marked:
        findings.add(NOT_ANNOTATED if marked is None else NOT_MARKED, example_id)
    answers: list[tuple[str, int]] = []
    unplaced: list[str] = []
    references: list[str] = []
    if labelled and not _is_impossible(fields.get("is_impossible"), where):
        if fields.get("detected_answers") is not None:
            answers = detected_answers(fields["detected_answers"], context, where)
            name, texts = "answers beside detected_answers", fields.get("answers")
        else:
            found = answers_of(fields, context, where)
            answers, unplaced = _placed(found, context, example_id, findings)
            name, texts = "reference_answers", fields.get("reference_answers")
        references = reference_answers(texts, answers, name, where)
        if unplaced and not references:
            references = [*(text for text, _ in answers), *unplaced]
        if not has_answer_field(fields):
            findings.add(NO_FIELD, example_id)
    return Example(
        id=example_id,
        question=question,
        context=context,
        answers=tuple([text for text, _ in answers]),
        answer_starts=tuple([start for _, start in answers]),
        title=title,
        reference_answers=tuple(references),
    )


def made_id(question: str, context: str) -> str:
    """Return the id of a question that has none: the same whenever question and context are.

    Composed and decomposed Hangul give the same, so that `--nfc` changes no id.
    """
    text = normalize("NFC", f"{question}\n{context}").encode()
    return hashlib.blake2b(text, digest_size=6).hexdigest()


def _placed(
    found: list[Found], context: str, example_id: str, findings: Findings
) -> tuple[list[tuple[str, int]], list[str]]:
    """Return text and start of the answers that are not empty, and tell the findings the rest.

    The second value is the texts that need no place and have none.
    """
    answers: list[tuple[str, int]] = []
    unplaced: list[str] = []
    for text, start, is_number in found:
        if not text.strip():
            continue
        if is_number:
            findings.add(NUMBER, example_id)
        if start is None:
            text, place = place_of(context, text)
            if place == SEVERAL and findings.by_text:
                findings.add(SEVERAL_PLACES, example_id)
                start = context.find(text)
            elif place == NOWHERE and findings.by_text:
                findings.add(WRITTEN, example_id)
                unplaced.append(text)
                continue
            elif isinstance(place, str):
                findings.add_unplaced(place, example_id)
                start = UNKNOWN
            else:
                findings.add(PLACED, example_id)
                start = place
        answers.append((text, start))
    number = len(answers) + len(unplaced)
    if not number and found:
        findings.add(NO_ANSWER, example_id)
    for _ in range(len(found) - number if number else 0):
        findings.add(EMPTY_ANSWER, example_id)
    return answers, unplaced


def read_id(value: Any, where: str) -> str:
    """Return the id as text, "" if there is none."""
    if value is None:
        return ""
    if type(value) is float and value.is_integer():  # pandas, where another row has no id
        value = int(value)
    if type(value) not in (str, int):
        found = "an object or a list" if isinstance(value, (dict, list)) else shown(repr(value))
        raise UserError(f"{where}: id must be a text or a whole number, not {found}")
    check_characters(text := str(value), f"{where}: id")
    # The last three are how pandas writes a missing one.
    return "" if text.strip() in ("", "nan", "NaN", "<NA>") else text


def _is_impossible(value: Any, where: str) -> bool:
    """Return whether the question has no answer; KLUE-MRC and SQuAD 2.0 then list wrong ones."""
    if isinstance(value, str):
        value = TRUTH.get(value.strip().lower(), value)
    if value is not None and value not in (0, 1):
        raise UserError(f"{where}: is_impossible must be true or false, not {shown(repr(value))}")
    return bool(value)


def _joined(sentences: list[Any], where: str) -> str:
    """Return the sentences of a context, joined by blanks."""
    require(
        all(isinstance(sentence, str) for sentence in sentences),
        f"{where}: context is a list, which must hold its sentences as strings",
    )
    return " ".join(sentences)


def _text(fields: dict[str, Any], field: str, row: dict[str, Any], where: str) -> str:
    """Return the text of a field; UserError if there is no valid text."""
    value = fields.get(field)
    if value is None:
        found = "it is null" if field in fields else f"there is only {first_few(list(row))}"
        raise UserError(f"{where}: {field} must be a string, but {found}")
    if not isinstance(value, str):
        raise UserError(f"{where}: {field} must be a string, not {shown(repr(value))}")
    check_characters(value, f"{where}: {field}")
    return value
