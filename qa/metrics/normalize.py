"""What each official score removes from texts before it compares them."""

from __future__ import annotations

import re
import string

from qa.metrics.html_text import html_text

# Not str.translate, which takes ten times as long for text that is not ASCII.
_KORQUAD_TO_SPACE = re.compile("['\"《》<>〈〉()‘’]")
_PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
# As published: the character class ends early, so that only a text like `"()‘’` matches.
_KLUE_BRACKETS = re.compile(r"['\"《》<>〈〉]\(\)‘’")


def normalize_korquad(text: str) -> str:
    """Normalise for KorQuAD 1.0.

    Quotes and brackets become spaces, letters lower case; no ASCII punctuation, single spaces.
    """
    text = _PUNCTUATION.sub("", _KORQUAD_TO_SPACE.sub(" ", text).lower())
    return " ".join(text.split())


def normalize_korquad2(text: str) -> str:
    """Normalise for KorQuAD 2.0: the text of the HTML as for KorQuAD 1.0, then without spaces."""
    return normalize_korquad(html_text(text)).replace(" ", "")


def normalize_squad(text: str) -> str:
    """Normalise for SQuAD and MRQA.

    Lower case, no ASCII punctuation, no English articles, single spaces.
    """
    text = _ARTICLES.sub(" ", _PUNCTUATION.sub("", text.lower()))
    return " ".join(text.split())


def normalize_klue(text: str) -> str:
    """Normalise for KLUE-MRC: lower case, no ASCII punctuation, single spaces.

    Brackets that are not ASCII stay.
    """
    text = _PUNCTUATION.sub("", _KLUE_BRACKETS.sub(" ", text.lower()))
    return " ".join(text.split())
