"""What must hold for examples together before they are trained or scored on."""

from __future__ import annotations

from collections.abc import Iterator

from qa.data.examples import Example
from qa.data.nfc import compose_example, is_decomposed
from qa.data.offsets import SHIFTS, stands_at, unit_of_most
from qa.engine.errors import first_few, require


def require_answers(examples: list[Example], source: str, by_text: bool = False) -> None:
    """Raise UserError if no example can be learned from or scored.

    `by_text`: answers that stand nowhere count.
    """
    require(
        any(example.answers or (by_text and example.gold_answers) for example in examples),
        f"{source}: no question has an answer; expected answers with text and answer_start"
        " (`qa predict --output` needs none)",
    )


def check_examples(examples: list[Example], source: str) -> None:
    """Raise UserError for duplicate ids and for answers that are not at their offset.

    If most of the wrong offsets count something other than characters, the message names it.
    """
    seen: set[str] = set()
    duplicates: list[str] = []
    for example in examples:
        if example.id in seen:
            duplicates.append(example.id)
        seen.add(example.id)
    require(
        not duplicates,
        f"{source}: {len(duplicates)} questions repeat an id that another one has ("
        f"{first_few(duplicates)}); ids must be unique (python -m qa doctor FILE --write-fixed OUT"
        " makes them so)",
    )
    wrong = [(example, *answer) for example in examples for answer in misplaced(example)]
    ids = first_few([example.id for example, _, _ in wrong])
    require(
        not wrong,
        f"{source}: {len(wrong)} answers do not stand in their context at answer_start ("
        f"{ids}); {_explanation(wrong)} (python -m qa doctor FILE --write-fixed OUT)",
    )


def misplaced(example: Example) -> Iterator[tuple[str, int]]:
    """Yield text and answer_start of each answer that does not stand at its answer_start."""
    for text, start in zip(example.answers, example.answer_starts, strict=True):
        if not stands_at(example.context, text, start):
            yield text, start


def _explanation(wrong: list[tuple[Example, str, int]]) -> str:
    """Say what the wrong offsets count, if one unit explains most of them, and how to mend it."""
    unit, count = unit_of_most([(example.context, text, start) for example, text, start in wrong])
    if unit is not None:
        share = "" if count == len(wrong) else f" in {count} of them"
        right = "from 0" if unit in SHIFTS else "characters"
        return f"answer_start counts {unit}{share}, not {right}: mend it"
    examples = [example for example, _, _ in wrong]
    decomposed = all(is_decomposed(e.context + "".join(e.answers)) for e in examples)
    if decomposed and not any(any(misplaced(compose_example(e))) for e in examples):
        return "the text is decomposed Hangul (NFD, from macOS): train with --nfc, or mend it"
    return "mend answer_start, counted in characters from 0"
