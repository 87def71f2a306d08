"""Answers that are not at their offset: what the offset counts instead of characters.

Offsets count characters (code points) from 0. Files from other languages and systems count UTF-8
bytes, UTF-16 units (JavaScript, Java) or line ends differently, or characters from 1 (Excel, R,
SQL) or another number, as where something before the context was counted or cut away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

MisplacedAnswer: TypeAlias = tuple[str, str, int]
"""Context, answer text and answer_start of an answer that is not at its answer_start."""


def stands_at(context: str, text: str, start: int) -> bool:
    """Return whether a non-blank answer stands in its context at character `start`."""
    return start >= 0 and context.startswith(text, start) and bool(text.strip())


def from_utf8(context: str, start: int) -> int | None:
    """Return the character at UTF-8 byte `start`; None outside `context` or inside a character."""
    return _decoded_length(context.encode(), start, "utf-8")


def from_utf16(context: str, start: int) -> int | None:
    """Return the character at UTF-16 unit `start`; None outside or inside a surrogate pair."""
    return _decoded_length(context.encode("utf-16-le"), 2 * start, "utf-16-le")


def from_joined_line_ends(context: str, start: int) -> int | None:
    r"""Return the character at `start` of the text in which each \r\n was one character."""
    end = -1
    for _ in range(context.replace("\r\n", "\n").count("\n", 0, max(0, start))):
        end = context.index("\n", end + 1)
        start += context[end - 1 : end] == "\r"
    return start if 0 <= start <= len(context) else None


def from_split_line_ends(context: str, start: int) -> int | None:
    r"""Return the character at `start` of the text in which each \n was \r\n."""
    longer = context.replace("\n", "\r\n")
    if not 0 <= start <= len(longer) or longer[start - 1 : start + 1] == "\r\n":
        return None
    return start - longer.count("\r\n", 0, start)


UNITS: dict[str, Callable[[str, int], int | None]] = {
    "UTF-8 bytes": from_utf8,
    "UTF-16 units": from_utf16,
    r"each \r\n as one character": from_joined_line_ends,
    r"each \n as two characters": from_split_line_ends,
}
"""What answer_start counts -> a function from (context, answer_start) to the character it means."""

MOST_SHIFT = 100
SHIFTS = {
    f"characters from {first}": first for first in range(-MOST_SHIFT, MOST_SHIFT + 1) if first
}
"""The same for units that are a constant apart -> what they call the first character."""


def in_unit(context: str, text: str, start: int, unit: str) -> int | None:
    """Return where the answer begins if answer_start counts `unit`; None if it is not there."""
    found = start - SHIFTS[unit] if unit in SHIFTS else UNITS[unit](context, start)
    return found if found is not None and stands_at(context, text, found) else None


def unit_of_most(misplaced: Sequence[MisplacedAnswer]) -> tuple[str | None, int]:
    """Return the unit in which most of these offsets are right, and how many of them are.

    The unit must explain at least half of them; (None, 0) if none does. A constant must explain
    more than any other unit, and answers at two different offsets if it is 1 or -1, at three if it
    is another: any single answer is a constant away from its text, and so are all that stand at the
    same place with the same offset, such as -1 for "unknown".
    """
    counts = {unit: sum(in_unit(*m, unit) is not None for m in misplaced) for unit in UNITS}
    unit = max(UNITS, key=lambda name: counts[name])
    shift = _shift_of_most(misplaced)
    if shift is not None:
        counts[shift] = sum(in_unit(*m, shift) is not None for m in misplaced)
        unit = max(unit, shift, key=lambda name: counts[name])
    enough = counts[unit] and 2 * counts[unit] >= len(misplaced)
    return (unit, counts[unit]) if enough else (None, 0)


def _shift_of_most(misplaced: Sequence[MisplacedAnswer]) -> str | None:
    """Return the constant that explains the most offsets.

    None if that is 0, since they are right then, if two constants do, or too few for it.
    """
    explained = {(first, answer[2]) for answer in set(misplaced) for first in _shifts(*answer)}
    counts = Counter(first for first, _ in explained)
    most = max(counts.values(), default=0)
    best = [first for first, count in counts.items() if count == most]
    if 1 in best:  # programs that count from 1 are many
        best = [1]
    enough = most >= (2 if best in ([1], [-1]) else 3)
    return f"characters from {best[0]}" if enough and len(best) == 1 and best[0] else None


def _shifts(context: str, text: str, start: int) -> Iterator[int]:
    """Yield by how much `start` is too large for each place near it where the text stands."""
    end = max(0, start + MOST_SHIFT + len(text))
    place = context.find(text, max(0, start - MOST_SHIFT), end) if text.strip() else -1
    while place >= 0:
        yield start - place
        place = context.find(text, place + 1, end)


def _decoded_length(encoded: bytes, end: int, encoding: str) -> int | None:
    """Return how many characters `encoded[:end]` is; None if it ends inside one."""
    if not 0 <= end <= len(encoded):
        return None
    try:
        return len(encoded[:end].decode(encoding))
    except UnicodeDecodeError:
        return None
