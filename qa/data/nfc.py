"""Unicode NFC with offsets: Korean from macOS is decomposed into jamo (NFD) and must be composed.

In NFD a syllable is two or three characters, which most vocabularies lack or have as other tokens.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from unicodedata import combining, is_normalized, normalize

from qa.data.examples import Example
from qa.data.offsets import stands_at

UNKNOWN = -1  # no offset: check_examples refuses it
# A consonant and a vowel that NFC would join. Old Hangul has other jamo, which stay apart in NFC.
_DECOMPOSED = re.compile("[\u1100-\u1112][\u1161-\u1175]")
_SYLLABLE = re.compile("[\uac00-\ud7a3]")
# NFC makes one character of four at most, so only marks are this far behind a group's beginning.
_FAR = 8


def is_decomposed(text: str) -> bool:
    """Return whether `text` has Hangul that NFC composes."""
    return _DECOMPOSED.search(text) is not None


def hangul_form(text: str) -> str | None:
    """Return "NFD" for text with Hangul that NFC composes, "NFC" for other Hangul, None without."""
    if is_decomposed(text):
        return "NFD"
    return "NFC" if _SYLLABLE.search(text) else None


def compose_example(example: Example) -> Example:
    """Return the example in NFC, with the offsets of the answers in the composed context.

    An offset may count the characters of the context as it was or of the composed one. It becomes
    -1 if it cannot be told which, and if the answer begins or ends inside a composed character.
    """
    context, new_offsets = compose(example.context)
    answers = [
        _compose_answer(example.context, context, new_offsets, text, start)
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
    """Return the text in NFC, and the new offset of each offset 0 to len(text).

    The new offset is -1 inside a character that was composed of several. The second value is None
    if the text was in NFC already, so that no offset changes.
    """
    if is_normalized("NFC", text):
        return text, None
    pieces: list[str] = []
    new_offsets: list[int] = []
    length, begin = 0, 0
    for end in range(1, len(text) + 1):
        if end < len(text) and not _is_boundary(text[max(begin, end - _FAR) : end], text[end]):
            continue
        piece = normalize("NFC", _sort_marks(text[begin:end]))
        new_offsets += [length] + [UNKNOWN] * (end - begin - 1)
        pieces.append(piece)
        length += len(piece)
        begin = end
    return "".join(pieces), [*new_offsets, length]


def original_spans(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans of `text` that were composed to these spans of the composed text.

    Spans are (start, end) in characters, without the end. One that begins or ends inside a group of
    characters that were composed together is widened to the whole group.
    """
    cuts = _cuts(text)
    if cuts is None:
        return list(spans)
    composed, original = cuts
    return [
        (original[bisect_right(composed, start) - 1], original[bisect_left(composed, end)])
        for start, end in spans
    ]


@lru_cache(maxsize=8)  # for the reason given at `compose`
def _cuts(text: str) -> tuple[list[int], list[int]] | None:
    """Return where the composed text can be cut, and these cuts in `text`; None if that is NFC."""
    _, new_offsets = compose(text)
    if new_offsets is None:
        return None
    original = [offset for offset, new in enumerate(new_offsets) if new != UNKNOWN]
    return [new_offsets[offset] for offset in original], original


@lru_cache(maxsize=4096)  # Korean has few such pairs, and each takes four normalisations
def _is_boundary(before: str, after: str) -> bool:
    """Return whether nothing from `after` on can compose with what is before it.

    Marks attach to what is before them, so only a starter (combining class 0) can be a boundary;
    and a starter may itself compose with the character before it, as a vowel jamo does.
    """
    if combining(normalize("NFD", after)[0]) != 0:
        return False
    return normalize("NFC", before + after) == normalize("NFC", before) + normalize("NFC", after)


def _sort_marks(group: str) -> str:
    """Return a group whose NFC is the same, with its marks in the order that this has them in.

    `normalize` needs time for the number of marks squared to sort them.
    """
    if len(group) <= _FAR:
        return group
    marks = "".join(normalize("NFD", mark) for mark in group[_FAR:])
    return group[:_FAR] + "".join(sorted(marks, key=combining))


def _compose_answer(
    old: str, new: str, new_offsets: list[int] | None, text: str, start: int
) -> tuple[str, int]:
    """Return an answer in NFC and its offset in the `new` context, UNKNOWN if it has none."""
    composed = normalize("NFC", text)
    moved = _offset_at(new_offsets, start, len(old))
    if stands_at(old, text, start):
        end = _offset_at(new_offsets, start + len(text), len(old))
        return composed, moved if UNKNOWN not in (moved, end) else UNKNOWN
    found = {offset for offset in (start, moved) if stands_at(new, composed, offset)}
    return composed, found.pop() if len(found) == 1 else UNKNOWN


def _offset_at(new_offsets: list[int] | None, offset: int, length: int) -> int:
    """Return the new offset of an offset in a text of `length` characters, or UNKNOWN."""
    if not 0 <= offset <= length:
        return UNKNOWN
    return offset if new_offsets is None else new_offsets[offset]
