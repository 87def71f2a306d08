"""Characters as people see them: where a piece of text may begin and end.

One can be several code points: a syllable and its jamo, a letter and its marks, an emoji sequence,
a flag (extended grapheme clusters, UAX #29). Others show nothing: zero-width spaces and joiners,
byte-order marks, soft hyphens, direction marks, Hangul fillers.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache

import regex  # transformers needs it, too; `re` knows no grapheme clusters

# DI: default-ignorable code points. Arabic signs that span a number are Cf, but seen; the blank
# Braille pattern is a symbol, but not seen.
_UNSEEN = r"\s\p{Cc}\p{DI}\u2800[\p{Cf}--\p{Prepended_Concatenation_Mark}]"
# A mark on something unseen goes with it; the selector behind a sign belongs to the sign.
_FRONT = regex.compile(rf"(?V1)(?:[{_UNSEEN}]\p{{M}}*)*")
_BACK = regex.compile(rf"(?V1r)[[{_UNSEEN}]--\p{{Variation_Selector}}]*")
_SUBDIVISION_FLAG = regex.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")
# \X pairs the letters of a flag by looking back over all flags before it: it gets the last only.
_CLUSTER = regex.compile(r"\p{RI}{2}(?=\p{RI})|\X")
# In most contexts nothing matches: there, every code point is a character that is seen, or a blank.
_SPECIAL = regex.compile(r"[^\p{GCB=Other}\p{GCB=LV}\p{GCB=LVT}\s]|[\p{DI}\u2800]")


def whole_characters(context: str, start: int, end: int) -> tuple[int, int]:
    """Return the piece of `context` that holds all of each character that `start` to `end` touches.

    Offsets count code points, the end is not included. Blanks and what is not seen are left out at
    both ends; the piece is empty if nothing else is touched. Blanks stay if a context has nothing
    unseen and no character of several code points.
    """
    bounds = _seen(context)
    if bounds is None:
        return start, end
    starts, ends = bounds
    first = bisect_right(ends, start)
    last = bisect_left(starts, end) - 1
    return (starts[first], ends[last]) if first <= last else (start, start)


def is_plain(context: str) -> bool:
    """Return whether `whole_characters` leaves every piece of `context` as it is."""
    return _seen(context) is None


@lru_cache(maxsize=8)  # the questions about one context mostly come together
def _seen(context: str) -> tuple[list[int], list[int]] | None:
    """Return starts and ends of the characters that are seen; None if all are one code point."""
    if _SPECIAL.search(context) is None:
        return None
    starts: list[int] = []
    ends: list[int] = []
    for cluster in _CLUSTER.finditer(context):
        start, end = cluster.span()
        if not _SUBDIVISION_FLAG.fullmatch(context, start, end):
            start = _FRONT.match(context, start, end).end()
            end = _BACK.match(context, start, end).start()
        if start < end:
            starts.append(start)
            ends.append(end)
    return starts, ends
