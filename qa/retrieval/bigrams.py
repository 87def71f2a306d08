"""The tokens of a text: pairs of neighbouring letters, whatever blanks stand between them.

Korean words end in particles, and their spacing is free: pairs of syllables meet a noun with and
without its particle, and a compound written as one word or two, without any dictionary.
"""

from __future__ import annotations

import re
from unicodedata import normalize

VERSION = "bigrams 1"  # another one, and indexes are made anew: their tokens would meet no others

_OTHERS = re.compile(r"[\W_]+")


def letters(text: str) -> str:
    """Return the letters and digits of a text in lower case, composed (NFC)."""
    return _OTHERS.sub("", normalize("NFC", text).lower())


def bigrams(text: str) -> list[str]:
    """Return all pairs of neighbouring letters, in their order; of one letter the letter itself."""
    line = letters(text)
    return [line[i : i + 2] for i in range(len(line) - 1)] or [line] * bool(line)
