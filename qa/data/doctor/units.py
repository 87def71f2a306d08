"""What the offsets of a data set count: of the whole set, or of one context."""

from __future__ import annotations

from qa.data.examples import Example
from qa.data.offsets import SHIFTS, in_unit, stands_at, unit_of_most


def explains_all(examples: list[Example], unit: str | None) -> bool:
    """Return whether every answer fits the unit, also those that stand at their answer_start.

    These are right by chance then: their text stands a second time where the offset, taken for
    characters, points.
    """
    return unit is not None and all(
        in_unit(e.context, text, start, unit) is not None
        for e in examples
        for text, start in zip(e.answers, e.answer_starts, strict=True)
    )


def context_units(examples: list[Example], unit: str | None) -> dict[str, str]:
    """Return the contexts all of whose answers are off by one constant, and that as a unit.

    So it is where blanks before a context were stripped after its answers were found. Contexts
    whose answers the `unit` of the file explains are not among them.
    """
    answers: dict[str, list[tuple[str, str, int]]] = {}
    for e in examples:
        for text, start in zip(e.answers, e.answer_starts, strict=True):
            answers.setdefault(e.context, []).append((e.context, text, start))
    units = {}
    for context, found in answers.items():
        lost = [
            a for a in found if not stands_at(*a) and (unit is None or in_unit(*a, unit) is None)
        ]
        shift, number = unit_of_most(found) if lost else (None, 0)
        if shift in SHIFTS and number == len(found):
            units[context] = shift
    return units


def meant_start(context: str, text: str, start: int, unit: str | None, everywhere: bool) -> int:
    """Return the character that an answer_start means if it counts `unit`, else `start` itself.

    An answer that stands at `start` stays there, unless the whole file counts `unit`, `everywhere`.
    """
    if unit is None or (stands_at(context, text, start) and not everywhere):
        return start
    found = in_unit(context, text, start, unit)
    return start if found is None else found
