"""Where the sentences of a text end."""

from __future__ import annotations

import re

ABBREVIATIONS = frozenset(
    "al approx av ave capt cf co col corp dept dr ed eds e.g eq est etc fig figs gen gov inc i.e jr"
    " lt ltd messrs mr mrs ms mt no nos op p pp prof rep resp rev sen sgt sr st vol vols vs".split()
)
# An end and the quotes and brackets that close behind it, and then a blank; none is needed behind
# the marks of Chinese and Japanese, nor between two Hangul words: "했다.그는".
# A run of marks is tried from its beginning only: from each mark, one of dots takes forever.
_END = re.compile(
    r"(?:(?<![.!?…])[.!?…]+[\"'”’»)\]]*(?=\s)|(?<=[가-힣])[.!?](?=[가-힣])"
    r"|[。！？]+[」』”’）]*|\n[ \t\r]*\n)"
)
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘]*$")
_NEXT = re.compile(r"\s+(\S)")
NEAR = 40  # characters before a number in which a date's earlier number or a line's start lies


def sentence_ends(text: str) -> list[int]:
    """Return where each sentence ends, the last one at the end of the text.

    Abbreviations, initials, decimals and the dots of dates (2020. 3. 15.) end none.
    """
    ends = [found.end() for found in _END.finditer(text) if _is_end(text, found)]
    return ends if ends and ends[-1] == len(text) else [*ends, len(text)]


def _is_end(text: str, found: re.Match[str]) -> bool:
    """Return whether a mark ends a sentence, and is not that of an abbreviation."""
    if found[0] != ".":
        return True
    word = _LAST_WORD.search(text, max(0, found.start() - 20), found.start())
    last = word[0] if word else ""
    following = _NEXT.match(text, found.end())
    next_one = following[1] if following else ""
    if last.lower() in ABBREVIATIONS or re.fullmatch(r"(?:[A-Za-z]\.)*[A-Za-z]", last):
        return False
    if last.isdigit() and len(last) <= 4:  # "2020. 3. 15.", "1. Introduction"
        stop = found.start() - len(last)
        near = text[max(0, stop - NEAR) : stop]  # not the whole line, which may be a book
        before = near.rpartition("\n")[2].rstrip()
        return not (next_one.isdigit() or before == "" or re.search(r"\d\.$", before))
    return not next_one.islower()
