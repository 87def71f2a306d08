"""Pieces of whole characters that are seen, in whatever text."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.characters import cuts, is_unseen, is_whole

from qa.data.characters import whole_characters
from qa.data.nfc import compose, original_spans

NFD = unicodedata.normalize("NFD", "서준")  # two jamo and three
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"

BY_HAND = [
    # text before the piece, the piece, text behind it, what it becomes
    ("", NFD[:4], NFD[4:], NFD),  # the last consonant was missing
    (NFD[0], NFD[1:], "", NFD),
    ("이", "서" + NFD[2:4], NFD[4:], "서" + NFD[2:]),
    ("", "강" + "\u11a8", "이", "강\u11a8"),  # no syllable has two, but they are one character
    ("caf", "e", "\u0301 au", "e\u0301"),
    ("", "\u0301", "x", "\u0301"),  # a mark on nothing is all there is
    ("\u2764", "\ufe0f 하트", "", "\u2764\ufe0f 하트"),
    ("", FAMILY[:3], FAMILY[3:], FAMILY),
    (FAMILY[:2], FAMILY[2:], "!", FAMILY),
    ("\U0001f44d", "\U0001f3fd", "", "\U0001f44d\U0001f3fd"),
    ("\U0001f1f0\U0001f1f7", "\U0001f1ef", "\U0001f1f5", "\U0001f1ef\U0001f1f5"),
    ("", SCOTLAND[:3], SCOTLAND[3:], SCOTLAND),
    ("1", "\u20e3", "", "1\u20e3"),
    ("한빛 ", "\u200b이서준", "이", "이서준"),
    ("", "\ufeff이서준\u200b\u200d", "", "이서준"),
    ("", "\u2067이서준\u2069 \xad", "", "이서준"),
    ("", "\u3164\u115f이서준\uffa0\u1160\u2800", "", "이서준"),
    ("", "\x00이\u200b서준\x7f", "", "이\u200b서준"),  # inside it stays
    ("이서준\u200b", "\u200d \u2060", "이", ""),
    ("이", " \u0301 \u200b", "서", ""),  # a mark on a blank
    ("\u0661", "\u06dd\u0661", "", "\u06dd\u0661"),  # an Arabic sign that is seen, though Cf
    ("서", "준", "이", "준"),
    ("", "", "\u200b서", ""),
]


@pytest.mark.parametrize(("before", "piece", "behind", "expected"), BY_HAND)
def test_pieces_by_hand(before: str, piece: str, behind: str, expected: str) -> None:
    context = before + piece + behind
    start, end = whole_characters(context, len(before), len(before) + len(piece))
    assert context[start:end] == expected


def test_everything_that_is_not_seen_goes() -> None:
    """Every format and control character of Unicode but the signs that span numbers."""
    numbers = [*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD]
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in ("Cc", "Cf") and code not in numbers:
            context = f"{character}\u200b가{character}"
            assert whole_characters(context, 0, 4) == (2, 3), hex(code)


PIECES = [
    *["가", "강나루", NFD, "\u1112\u119e\u11ab", "a", "e\u0301", "ﬁ", "大", "\uf90a", "क्षि", "ก็"],
    *[FAMILY, "\U0001f1f0\U0001f1f7", "\U0001f1f0", "\u2764\ufe0f", "\U0001f44d\U0001f3fd"],
    *["\u200b", "\u200d", "\u200c", "\ufeff", "\xad", "\u202e", "\u2069", "\u3164", "\u115f"],
    *["\u0301", "\ufe0f", "\u1161", "\u11a8", "\u034f", " ", "\n", "\r\n", "\u3000", "\x00"],
]
OTHERS = st.characters(categories=["L", "M", "N", "P", "S", "Z", "Cc"], max_codepoint=0xDFFFF)
TEXTS = st.lists(st.sampled_from(PIECES) | OTHERS, min_size=1, max_size=12).map("".join)
# What holds code points together, or apart: letters of flags, joiners, marks in front and behind,
# jamo, line ends.
JOINED = st.text(
    "\U0001f1f0\U0001f1f7\u200d\u0301\u0903\u0d4e\u1100\u1161\u11a8가\r\n\U0001f468\u0915\u094da",
    min_size=1,
    max_size=12,
)


@settings(max_examples=500, deadline=None)
@given(context=TEXTS | JOINED, data=st.data())
def test_any_piece_of_any_text(context: str, data: st.DataObject) -> None:
    """It has all that was touched and is seen, nothing beyond these characters, and is whole."""
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start + 1, len(context)))
    context = f"\u200b{context}"  # blanks stay where nothing is special
    start, end = start + 1, end + 1
    first, last = whole_characters(context, start, end)
    assert whole_characters(context, first, last) == (first, last)
    for place in range(start, end):
        is_mark = unicodedata.category(context[place])[0] == "M"  # of a blank, it may be left out
        assert is_unseen(context[place]) or is_mark or first <= place < last
    if first < last:
        assert is_whole(context, first, last)
        assert first >= max(cut for cut in cuts(context) if cut <= start)
        assert last <= min(cut for cut in cuts(context) if cut >= end)


def test_a_text_of_flags_takes_little_time() -> None:
    flags = 40_000
    context = "\U0001f1f0\U0001f1f7" * flags
    started = time.process_time()
    assert whole_characters(context, 2 * flags - 3, 2 * flags - 2) == (2 * flags - 4, 2 * flags - 2)
    assert time.process_time() - started < 2


@settings(max_examples=300, deadline=None)
@given(context=TEXTS)
def test_whole_pieces_of_composed_text_are_whole_in_the_original(context: str) -> None:
    context = f"\u200b{unicodedata.normalize('NFD', context)}"
    composed, _ = compose(context)
    ends = range(1, len(composed) + 1)
    spans = {whole_characters(composed, start, end) for end in ends for start in range(end)}
    pieces = sorted(span for span in spans if span[0] < span[1])
    originals = [whole_characters(context, *span) for span in original_spans(context, pieces)]
    assert len(set(originals)) == len(pieces)
    for (start, end), (first, last) in zip(pieces, originals, strict=True):
        assert is_whole(context, first, last)
        assert unicodedata.normalize("NFC", context[first:last]) == composed[start:end]
