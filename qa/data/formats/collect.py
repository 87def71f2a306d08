"""The rows of one source as examples: rows of one question joined, texts kept once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from qa.data.examples import Example
from qa.data.formats.findings import JOINED, MADE_ID, NUMBERED, Findings
from qa.data.formats.row_to_example import to_example
from qa.data.nfc import compose_example


def collect_examples(
    rows: Iterable[tuple[str, dict[str, Any]]], labelled: bool, nfc: bool, findings: Findings
) -> list[Example]:
    """Return the examples of rows, each of which comes with its position for messages.

    Rows that agree in id, question and context are one question with the answers of all: some files
    have a row for each gold answer. Rows that share only an id stay apart. So do unlabelled rows
    that have no id, since each of them is to be answered; the second one gets ID-2.
    """
    texts: dict[str, str] = {}  # flat formats repeat context and title for each question: keep one
    examples: list[Example] = []
    places: dict[tuple[str, str, str], int] = {}  # of a question -> its index in the list
    repeats: dict[str, int] = {}
    made_ids = findings.ids.setdefault(MADE_ID, [])
    for where, row in rows:
        number_made = len(made_ids)
        example = to_example(row, where, labelled, findings)
        if nfc:
            example = compose_example(example)
        example = _with_kept_texts(example, texts)
        key = (example.id, example.question, example.context)
        place = places.setdefault(key, len(examples))
        if place == len(examples):
            examples.append(example)
        elif not labelled and len(made_ids) > number_made:
            number = repeats[example.id] = repeats.get(example.id, 1) + 1
            examples.append(replace(example, id=f"{example.id}-{number}"))
            findings.add(NUMBERED, example.id)
        else:
            examples[place] = _joined(examples[place], example)
            findings.add(JOINED, example.id)
    return examples


def _with_kept_texts(example: Example, texts: dict[str, str]) -> Example:
    """Return the example with the context and title in `texts` that equal its own."""
    context = texts.setdefault(example.context, example.context)
    title = texts.setdefault(example.title, example.title)
    if context is example.context and title is example.title:
        return example
    return replace(example, context=context, title=title)


def _joined(first: Example, second: Example) -> Example:
    """Return the first example with the answers that only the second one has beside its own."""
    answers = dict.fromkeys(
        (text, start)
        for example in (first, second)
        for text, start in zip(example.answers, example.answer_starts, strict=True)
    )
    references: tuple[str, ...] = ()
    if first.reference_answers or second.reference_answers:
        references = tuple(dict.fromkeys(first.gold_answers + second.gold_answers))
    return replace(
        first,
        answers=tuple(text for text, _ in answers),
        answer_starts=tuple(start for _, start in answers),
        reference_answers=references,
    )
