"""The best scores that answers can have: of all spans that decoding can give, in any window.

No model of this tokenizer, these windows and this `max_answer_length` scores higher, and the span
that has the score can be decoded. (Only where a capital sigma ends a word, which `str.lower`
writes in another way there, is F1 an upper bound.)

T: tokens of a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from qa.data.doctor.answer_ends import Ends, answer_ends, last_ends
from qa.metrics import korquad_exact_match, normalize_korquad

Window: TypeAlias = tuple[np.ndarray, np.ndarray]  # (T,) offset_starts, (T,) offset_ends


@dataclass(frozen=True)
class Decoding:
    """What decoding can give.

    Args:
        max_answer_length: Tokens of the longest answer.
        num_trims: Characters that can be dropped at either end: 0 to `num_trims` - 1.
    """

    max_answer_length: int
    num_trims: int


class Letters(NamedTuple):
    """What scores compare of a text: its letters, each after normalisation, without blanks."""

    text: str
    places: np.ndarray  # (letters,) the character of the text that each is from


def ceiling(
    context: str, golds: Sequence[str], windows: Sequence[Window], decoding: Decoding
) -> tuple[float, float]:
    """Return the best KorQuAD 1.0 exact match and the best F1, 0 to 1, that a question can have.

    They may be those of two spans.

    Args:
        context: The question's.
        golds: Its gold answers.
        windows: All of its windows.
        decoding: Which spans of a window can be answers.
    """
    letters = letters_of(context)
    ends = [answer_ends(*window, decoding.num_trims) for window in windows]
    exact_match = best = 0.0
    for gold in dict.fromkeys(golds):
        if is_given(context, letters, gold, ends, decoding.max_answer_length):
            exact_match = 1.0
            if letters_of(gold).text:
                return 1.0, 1.0
    for gold in dict.fromkeys(letters_of(gold).text for gold in golds):
        best = best_overlap(letters, gold, ends, decoding.max_answer_length, best)
    return exact_match, best


@lru_cache(maxsize=8)  # the questions about one context mostly come together
def letters_of(text: str) -> Letters:
    """Return the letters of a text that scores compare."""
    pieces = [_letter(character) for character in text]
    places = np.repeat(np.arange(len(text)), [len(piece) for piece in pieces])
    return Letters("".join(pieces), places)


@lru_cache(maxsize=65536)
def _letter(character: str) -> str:
    """Return what normalisation makes of a character, mostly one letter or none."""
    return normalize_korquad(character).replace("ς", "σ")


def is_given(
    context: str, letters: Letters, gold: str, windows: Sequence[Ends], max_answer_length: int
) -> bool:
    """Return whether a span of any window is an exact match with this gold answer."""
    wanted = letters_of(gold).text
    if not wanted:  # such as a bracket: any span without letters will do
        return any(has_span_without_letters(letters, ends, max_answer_length) for ends in windows)
    for first, last in occurrences(letters, wanted):
        start, end = int(letters.places[first]), int(letters.places[last]) + 1
        if not korquad_exact_match(context[start:end], gold):
            continue  # the blanks are elsewhere
        # Characters that normalisation drops may stand around it.
        earliest = int(letters.places[first - 1]) + 1 if first else 0
        latest = int(letters.places[last + 1]) if last + 1 < len(letters.text) else len(context)
        for ends in windows:
            # The shortest span of tokens that holds it.
            at = np.searchsorted(ends.starts, start, side="right") - 1
            to = np.searchsorted(ends.ends, end)
            if (
                at >= 0
                and to < len(ends.ends)
                and ends.starts[at] >= earliest
                and ends.ends[to] <= latest
                and ends.end_tokens[to] - ends.start_tokens[at] < max_answer_length
            ):
                return True
    return False


def occurrences(letters: Letters, wanted: str) -> Iterator[tuple[int, int]]:
    """Yield the first and the last letter of each place where these letters stand in a text.

    Only places of whole characters: some have several letters.
    """
    places = letters.places
    first = letters.text.find(wanted)
    while first >= 0:
        last = first + len(wanted) - 1
        begins = first == 0 or places[first - 1] < places[first]
        if begins and (last + 1 == len(places) or places[last] < places[last + 1]):
            yield first, last
        first = letters.text.find(wanted, first + 1)


def has_span_without_letters(letters: Letters, ends: Ends, max_answer_length: int) -> bool:
    """Return whether an answer in this window can be one that normalisation leaves nothing of."""
    low, high = last_ends(ends, max_answer_length)
    is_span = low < high
    before_start = np.searchsorted(letters.places, ends.starts[is_span])
    before_end = np.searchsorted(letters.places, ends.ends[low[is_span]])
    return bool((before_start == before_end).any())


def best_overlap(
    letters: Letters, gold: str, windows: Sequence[Ends], max_answer_length: int, best: float
) -> float:
    """Return the best F1 of any span with these letters of a gold answer, or `best` if higher."""
    if not gold or not letters.text:
        return best
    codes = np.frombuffer(letters.text.encode("utf-32-le"), dtype=np.uint32)
    kinds, wanted = np.unique(
        np.frombuffer(gold.encode("utf-32-le"), dtype=np.uint32), return_counts=True
    )
    # seen[k, i]: letters of kind k among the first i
    seen = np.zeros((len(kinds), len(codes) + 1), dtype=np.int32)
    np.cumsum(codes == kinds[:, None], axis=1, out=seen[:, 1:])
    for ends in windows:
        low, high = last_ends(ends, max_answer_length)
        rows = np.flatnonzero(low < high)
        low, high = low[rows], high[rows]
        begin = np.searchsorted(letters.places, ends.starts[rows])
        end = np.searchsorted(letters.places, ends.ends)
        # No span from a start has more of the gold's letters than the longest one.
        most = common(seen, wanted, begin, end[high - 1])
        bound = 2 * most / (most + len(gold))
        if not len(rows) or bound.max() <= best:
            continue
        # First the most promising start: its best span rules out most others.
        for chosen in ([int(bound.argmax())], slice(None)):
            kept = np.arange(len(rows))[chosen]
            kept = kept[bound[kept] > best]
            if len(kept):
                width = np.arange((high - low)[kept].max())
                column = np.minimum(low[kept, None] + width, high[kept, None] - 1)
                shared = common(seen, wanted, begin[kept, None], end[column])
                sizes = end[column] - begin[kept, None]
                best = max(best, float((2 * shared / (sizes + len(gold))).max()))
    return best


def common(seen: np.ndarray, wanted: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return how many letters the spans from `begin` to `end` have in common with a gold answer.

    Args:
        seen: (kinds, letters + 1) letters of each kind before each place.
        wanted: (kinds,) letters of each kind in the gold answer.
        begin: Letters before the spans.
        end: Letters before the spans' ends; of a shape that `begin` goes with.
    """
    total: np.ndarray = np.zeros(np.broadcast_shapes(begin.shape, end.shape), dtype=np.int32)
    for row, number in zip(seen, wanted, strict=True):
        total += np.minimum(row[end] - row[begin], number)
    return total
