"""Mending what can be mended exactly in a data set; what cannot is left out and counted.

An answer is moved only where its new offset is certain: by the unit in which most of the wrong
offsets are right, by the constant that all answers of its context are off, by composing decomposed
Hangul, or to the one place in the context where its text stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from qa.data.doctor.units import context_units, explains_all, meant_start
from qa.data.examples import Example
from qa.data.formats.checks import misplaced
from qa.data.formats.place import NOWHERE, SEVERAL, only_place
from qa.data.nfc import UNKNOWN, compose_example, is_decomposed
from qa.data.offsets import stands_at, unit_of_most

COMPOSED = "moved with the composed text"
ONLY_PLACE = "moved to the only place of its text"
SEVERAL_PLACES = "left out: its text stands in several places"
NO_PLACE = "left out: its text is not in the context"
EMPTY = "left out: it is empty"


@dataclass
class Mended:
    """Examples that `check_examples` accepts, and what was done to the answers and ids."""

    examples: list[Example] = field(default_factory=list)
    num_answers: int = 0
    num_misplaced: int = 0
    unit: str | None = None  # what answer_start counts in most of the misplaced answers
    decomposed: int = 0  # questions with decomposed Hangul in any of their texts
    answers: Counter[str] = field(default_factory=Counter)  # what was done -> number of answers
    affected: dict[str, list[str]] = field(default_factory=dict)  # what was done -> ids
    questions_left_out: int = 0  # since all their answers were left out
    ids_renamed: int = 0

    @property
    def changed(self) -> bool:
        """Whether anything had to be mended."""
        return bool(self.answers or self.decomposed or self.ids_renamed)


def mend_examples(examples: list[Example]) -> Mended:
    """Mend offsets, compose decomposed Hangul and make ids unique."""
    mended = Mended()
    wrong = [(e.context, *answer) for e in examples for answer in misplaced(e)]
    mended.num_answers = sum(len(e.answers) for e in examples)
    mended.num_misplaced = len(wrong)
    mended.unit, _ = unit_of_most(wrong)
    everywhere = explains_all(examples, mended.unit)
    units = context_units(examples, mended.unit)
    flags = [is_decomposed("".join((e.question, e.context, *e.answers))) for e in examples]
    mended.decomposed = sum(flags)
    for example in unique_ids(examples, mended):
        unit = units.get(example.context)
        mend_answers(
            example,
            mended,
            unit or mended.unit,
            everywhere=everywhere or unit is not None,
            nfc=mended.decomposed > 0,
        )
    return mended


def unique_ids(examples: list[Example], mended: Mended) -> Iterable[Example]:
    """Yield the examples; another question with a known id gets id-2, ..., counted in `mended`."""
    known = {example.id for example in examples}
    given: set[str] = set()
    for example in examples:
        if example.id in given:
            mended.ids_renamed += 1
            number = 2
            while (new := f"{example.id}-{number}") in known:
                number += 1
            known.add(new)
            example = replace(example, id=new)
        given.add(example.id)
        yield example


def mend_answers(
    example: Example,
    mended: Mended,
    unit: str | None,
    everywhere: bool,
    nfc: bool,
) -> None:
    """Add the example, with the answers whose offset is certain, to `mended`.

    Args:
        example: Its answers may be misplaced.
        mended: Gets the example and what was done to its answers.
        unit: What misplaced offsets count; None if that is not known.
        everywhere: Whether offsets that seem right count that unit too.
        nfc: Compose the texts.
    """
    starts = tuple(
        meant_start(example.context, text, start, unit, everywhere)
        for text, start in zip(example.answers, example.answer_starts, strict=True)
    )
    shifted = replace(example, answer_starts=starts)
    result = compose_example(shifted) if nfc else shifted
    kept: dict[tuple[str, int], None] = {}  # an ordered set: two may be moved to one place
    for i, (text, start) in enumerate(zip(result.answers, result.answer_starts, strict=True)):
        done = ""
        if not stands_at(result.context, text, start):
            text, start, done = moved_to_only_place(result.context, text)
        elif starts[i] != example.answer_starts[i]:
            done = f"moved: answer_start counted {unit}"
        elif not stands_at(shifted.context, shifted.answers[i], starts[i]):
            done = COMPOSED
        if start != UNKNOWN:
            kept[text, start] = None
        if done:
            mended.answers[done] += 1
            mended.affected.setdefault(done, []).append(example.id)
    # Empty answers alone mean that it has none.
    if not kept and any(map(str.strip, example.answers)):
        mended.questions_left_out += 1
        return
    answers, starts = tuple(text for text, _ in kept), tuple(start for _, start in kept)
    mended.examples.append(replace(result, answers=answers, answer_starts=starts))


def moved_to_only_place(context: str, text: str) -> tuple[str, int, str]:
    """Return the text without outer blanks, its offset and what was done.

    The offset is `UNKNOWN` unless the text stands in the context exactly once.
    """
    text = text.strip()
    if not text:
        return text, UNKNOWN, EMPTY
    place = only_place(context, text)
    if isinstance(place, int):
        return text, place, ONLY_PLACE
    return text, UNKNOWN, {NOWHERE: NO_PLACE, SEVERAL: SEVERAL_PLACES}[place]


def to_squad(examples: list[Example]) -> dict[str, Any]:
    """Return the examples as nested SQuAD data, in their order."""
    data: list[dict[str, Any]] = []
    previous: Example | None = None
    for example in examples:
        if previous is None or example.title != previous.title:
            data.append({"title": example.title, "paragraphs": []})
            previous = None
        paragraphs = data[-1]["paragraphs"]
        if previous is None or example.context != previous.context:
            paragraphs.append({"context": example.context, "qas": []})
        answers = [
            {"text": text, "answer_start": start}
            for text, start in zip(example.answers, example.answer_starts, strict=True)
        ]
        question = {"id": example.id, "question": example.question, "answers": answers}
        if example.reference_answers:
            question["reference_answers"] = list(example.reference_answers)
        paragraphs[-1]["qas"].append(
            question | ({} if example.gold_answers else {"is_impossible": True})
        )
        previous = example
    return {"version": "1.1", "data": data}
