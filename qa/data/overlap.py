"""Questions that stand in two data sets: what is evaluated on should not be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from unicodedata import normalize

from qa.data.examples import Example
from qa.engine.errors import first_few


@dataclass(frozen=True)
class Overlap:
    """What of a second data set stands in a first one, too, as ids of the second."""

    questions: list[str]  # the same question about the same context
    contexts: list[str]  # another question about a context of the first


def find_overlap(first: Sequence[Example], second: Sequence[Example]) -> Overlap:
    """Return which questions of the second data set stand in the first, or share a context.

    Texts are the same if they are in Unicode NFC and with one blank for each run of blanks; ids,
    titles and answers may differ.
    """
    if not first:
        return Overlap([], [])
    key = cache(_key)  # most contexts come several times
    contexts = {key(example.context) for example in first}
    questions = {(key(example.context), key(example.question)) for example in first}
    found = Overlap([], [])
    for example in second:
        context = key(example.context)
        if context in contexts:
            is_known = (context, key(example.question)) in questions
            (found.questions if is_known else found.contexts).append(example.id)
    return found


def overlap_lines(found: Overlap, total: int) -> list[str]:
    """Return what was found as lines, the questions before the contexts; none if nothing was.

    Args:
        found: What of the evaluation data stands in the training data.
        total: The number of questions in the evaluation data.
    """
    kinds = (
        (found.questions, "stand in the training data, context and all", "scores will be too good"),
        (found.contexts, "ask about a context of the training data", "scores may be too good"),
    )
    return [
        f"{len(ids):,} of {total:,} questions to evaluate on {what} ({first_few(ids)}); {so}"
        for ids, what, so in kinds
        if ids
    ]


def _key(text: str) -> bytes:
    """Return 16 bytes that two texts share if they differ in blanks and Unicode form at most."""
    return blake2b(" ".join(normalize("NFC", text).split()).encode(), digest_size=16).digest()
