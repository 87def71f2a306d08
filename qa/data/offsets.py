"""Answers that are not at their offset: what the offset counts instead, and where they are.

Offsets count characters (code points) from 0. Files from other languages and systems count UTF-8
bytes, UTF-16 units (JavaScript, Java) or line ends differently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Broken = tuple[str, str, int]
"""Context, answer text and answer_start of an answer that is not there."""


def stands_at(context: str, text: str, start: int) -> bool:
    """Whether a non-blank answer stands in its context at character `start`."""
    return start >= 0 and context.startswith(text, start) and bool(text.strip())


def from_utf8(context: str, start: int) -> int | None:
    """The character at UTF-8 byte `start`; None outside and within a character."""
    return _decoded_length(context.encode(), start, "utf-8")


def from_utf16(context: str, start: int) -> int | None:
    """The character at UTF-16 unit `start`; None outside and within a surrogate pair."""
    return _decoded_length(context.encode("utf-16-le"), 2 * start, "utf-16-le")


def from_joined_line_ends(context: str, start: int) -> int | None:
    r"""The character at `start` of a text in which each \r\n was one character."""
    end = -1
    for _ in range(context.replace("\r\n", "\n").count("\n", 0, max(0, start))):
        end = context.index("\n", end + 1)
        start += context[end - 1 : end] == "\r"
    return start if 0 <= start <= len(context) else None


def from_split_line_ends(context: str, start: int) -> int | None:
    r"""The character at `start` of a text in which each \n was \r\n."""
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
"""What answer_start counts -> the character it means, None if it cannot mean one."""


def in_unit(context: str, text: str, start: int, unit: str) -> int | None:
    """The character where an answer stands if answer_start counts `unit`; None if it does not."""
    found = UNITS[unit](context, start)
    return found if found is not None and stands_at(context, text, found) else None


def unit_of_most(broken: Sequence[Broken]) -> tuple[str | None, int]:
    """The unit in which most of these offsets are right, at least half of them, and how many are.

    (None, 0) if there is no such unit.
    """
    counts = {unit: sum(in_unit(*b, unit) is not None for b in broken) for unit in UNITS}
    unit = max(UNITS, key=lambda name: counts[name])
    enough = counts[unit] and 2 * counts[unit] >= len(broken)
    return (unit, counts[unit]) if enough else (None, 0)


def _decoded_length(encoded: bytes, end: int, encoding: str) -> int | None:
    if not 0 <= end <= len(encoded):
        return None
    try:
        return len(encoded[:end].decode(encoding))
    except UnicodeDecodeError:
        return None
