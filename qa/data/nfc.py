"""Unicode NFC with offsets: Korean from macOS is decomposed into jamo (NFD) and must be composed.

In NFD a syllable is two or three characters, which most vocabularies lack or read as other tokens.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from unicodedata import combining, is_normalized, normalize

from qa.data.examples import Example
from qa.data.offsets import stands_at

UNKNOWN = -1  # no offset: check_examples refuses it
# A consonant and a vowel that NFC would join. Old Hangul has other jamo, which stay apart in NFC.
_DECOMPOSED = re.compile("[\u1100-\u1112][\u1161-\u1175]")


def is_decomposed(text: str) -> bool:
    """Whether a text holds Hangul that NFC composes."""
    return _DECOMPOSED.search(text) is not None


def count_decomposed(examples: Iterable[Example]) -> int:
    """How many distinct questions and contexts hold Hangul that NFC composes."""
    return sum(map(is_decomposed, {text for e in examples for text in (e.question, e.context)}))


def compose_example(example: Example) -> Example:
    """The example in NFC, each answer at its place in the composed context.

    An offset may count the characters of the context as it was or as it is now; -1 stands where
    that cannot be told, and for an answer that begins or ends inside a composed character.
    """
    context, places = compose(example.context)
    answers = [
        _compose_answer(example.context, context, places, text, start)
        for text, start in zip(example.answers, example.answer_starts, strict=True)
    ]
    return Example(
        id=example.id,
        question=normalize("NFC", example.question),
        context=context,
        answers=tuple(text for text, _ in answers),
        answer_starts=tuple(start for _, start in answers),
        title=normalize("NFC", example.title),
        reference_answers=tuple(normalize("NFC", text) for text in example.reference_answers),
    )


@lru_cache(maxsize=8)  # the questions about one context mostly come together
def compose(text: str) -> tuple[str, list[int] | None]:
    """A text in NFC, and for each offset 0 to len(text) where it is now; None if all stayed.

    The offset is -1 inside a character that was composed of several.
    """
    if is_normalized("NFC", text):
        return text, None
    pieces: list[str] = []
    places: list[int] = []
    length, begin = 0, 0
    for end in range(1, len(text) + 1):
        if end < len(text) and not _is_boundary(text[begin:end], text[end]):
            continue
        piece = normalize("NFC", text[begin:end])
        places += [length] + [UNKNOWN] * (end - begin - 1)
        pieces.append(piece)
        length += len(piece)
        begin = end
    return "".join(pieces), [*places, length]


def original_spans(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where pieces [start, end) of the composed text stand in `text` itself.

    A piece that begins or ends inside what was composed together is widened to all of that.
    """
    cuts = _cuts(text)
    if cuts is None:
        return list(spans)
    composed, original = cuts
    return [
        (original[bisect_right(composed, start) - 1], original[bisect_left(composed, end)])
        for start, end in spans
    ]


@lru_cache(maxsize=8)  # as `compose`
def _cuts(text: str) -> tuple[list[int], list[int]] | None:
    """Where the composed text can be cut, and where each cut is in `text`; None if all stayed."""
    _, places = compose(text)
    if places is None:
        return None
    original = [offset for offset, place in enumerate(places) if place != UNKNOWN]
    return [places[offset] for offset in original], original


@lru_cache(maxsize=4096)  # Korean has few of them, and asking takes four normalisations
def _is_boundary(before: str, after: str) -> bool:
    """Whether nothing from `after` on can compose with what is before it.

    Only a starter (combining class 0) ends what marks attach to, and one may itself compose with
    the character before it, as a vowel jamo does.
    """
    if combining(normalize("NFD", after)[0]) != 0:
        return False
    return normalize("NFC", before + after) == normalize("NFC", before) + normalize("NFC", after)


def _compose_answer(
    old: str, new: str, places: list[int] | None, text: str, start: int
) -> tuple[str, int]:
    """An answer in NFC and its offset in the new context, UNKNOWN if it has none."""
    composed = normalize("NFC", text)
    moved = _at(places, start, len(old))
    if stands_at(old, text, start):
        end = _at(places, start + len(text), len(old))
        return composed, moved if UNKNOWN not in (moved, end) else UNKNOWN
    found = {place for place in (start, moved) if stands_at(new, composed, place)}
    return composed, found.pop() if len(found) == 1 else UNKNOWN


def _at(places: list[int] | None, offset: int, length: int) -> int:
    if not 0 <= offset <= length:
        return UNKNOWN
    return offset if places is None else places[offset]
