"""What people see as characters, by other means than the product's: one code point at a time."""

from __future__ import annotations

import unicodedata

import regex

FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"


def is_unseen(character: str) -> bool:
    """Whether a code point is a blank, a control or format character, or a filler."""
    return (
        character.isspace()
        or character in FILLERS
        or unicodedata.category(character) in ("Cc", "Cf")
    )


def cuts(context: str) -> list[int]:
    """Where one character ends and the next begins, both ends of the text included."""
    return [0, *(cluster.end() for cluster in regex.finditer(r"\X", context))]


def is_whole(context: str, start: int, end: int) -> bool:
    """Whether the piece neither begins nor ends inside a character or with one that is not seen.

    A joiner that stands behind a character, inside its cluster, may be cut off.
    """
    before = max(cut for cut in cuts(context) if cut <= start)
    behind = min(cut for cut in cuts(context) if cut >= end)
    return (
        start < end
        and not is_unseen(context[start])
        and not is_unseen(context[end - 1])
        and all(map(is_unseen, context[before:start]))
        and all(map(is_unseen, context[end:behind]))
    )
