"""Documents cut into passages at the ends of sentences."""

from __future__ import annotations

import re

from qa.retrieval.sentences import sentence_ends

VERSION = "cut 1"  # another one, and documents that are added again are cut anew
LEAST_SIZE = 50
WORD = 100  # characters before a cut in which a blank is looked for
_BLANKS = re.compile(r"\s*")
_TRAILING_MARKS = re.compile(r"[\u0300-\u036f\u1160-\u11ff\u200d\ufe00-\ufe0f]*")


def cut_passages(text: str, size: int) -> list[tuple[int, str]]:
    """Return the passages of a text, each with its offset, without blanks at their ends.

    A passage takes whole sentences as long as it has at most `size` characters. Only a sentence
    that is longer is cut, at a blank. A last passage of less than a quarter joins the one before,
    unless many blanks lie between them.
    """
    pieces: list[tuple[int, int]] = []
    begin = 0
    for end in sentence_ends(text):
        for start, stop in _parts(text, begin, end, size):
            if pieces and stop - pieces[-1][0] <= size and not _is_break(text, *pieces[-1], size):
                pieces[-1] = (pieces[-1][0], stop)
            else:
                pieces.append((start, stop))
        begin = end
    if len(pieces) > 1 and pieces[-1][1] - pieces[-1][0] < size // 4:
        (start, _), (_, stop) = pieces[-2:]
        if stop - start <= 2 * size:
            pieces[-2:] = [(start, stop)]
    return [(start, text[start:stop]) for start, stop in pieces]


def _parts(text: str, begin: int, end: int, size: int) -> list[tuple[int, int]]:
    """Return a sentence without the blanks around it, cut where it is longer than `size`."""
    parts: list[tuple[int, int]] = []
    end = begin + len(text[begin:end].rstrip())
    # Up to the end, since a run of blanks may be much longer than the sentence.
    while (begin := _BLANKS.match(text, begin, end).end()) < end:  # type: ignore[union-attr]
        stop = end
        if stop - begin > size:
            stop = _word_end(text, begin, begin + size)
            stop = begin + len(text[begin:stop].rstrip())
        parts.append((begin, stop))
        begin = stop
    return parts


def _word_end(text: str, begin: int, limit: int) -> int:
    """Return the last end of a line before `limit`, or of a word; `limit` if no blank is near.

    What belongs to the character before it, as the vowel of a decomposed syllable, stays with it.
    """
    line = text.rfind("\n", (begin + limit) // 2, limit + 1)
    if line >= 0:
        return line
    near = max(begin + 1, limit - WORD)
    blanks = [match.start() for match in re.finditer(r"\s+", text[near : limit + 1])]
    if blanks:
        return near + blanks[-1]
    marks = _TRAILING_MARKS.match(text, limit)
    return marks.end() if marks else limit


def _is_break(text: str, start: int, stop: int, size: int) -> bool:
    """Return whether a passage that is half full is followed by a blank line."""
    behind = _BLANKS.match(text, stop)
    return stop - start >= size // 2 and behind is not None and behind[0].count("\n") > 1
