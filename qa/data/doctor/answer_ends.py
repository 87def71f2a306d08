"""Where in a window the answers can begin and end that decoding gives.

T: tokens of a window, S: characters at which an answer can begin, E: at which it can end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BEHIND = 2**31 - 1  # behind all characters


class Ends(NamedTuple):
    """Where answers can begin and end in a window, and the token that this is in."""

    starts: np.ndarray  # (S,) first characters of answers, ascending
    start_tokens: np.ndarray  # (S,)
    ends: np.ndarray  # (E,) ends of answers, ascending
    end_tokens: np.ndarray  # (E,)


def answer_ends(starts: np.ndarray, ends: np.ndarray, num_trims: int) -> Ends:
    """Return where answers can begin and end in a window, by the rules of `best_spans`.

    Args:
        starts: (T,) first character that each token covers.
        ends: (T,) end of these characters; equal to `starts` for a token that covers none.
        num_trims: See `Decoding`.
    """
    tokens = np.flatnonzero(starts < ends)
    first, end = starts[tokens, None], ends[tokens, None]
    # A character that two tokens cover belongs to the first as a start, to the last as an end.
    end_before = np.concatenate(([0], np.maximum.accumulate(end[:, 0])[:-1]))[:, None]
    start_behind = np.minimum.accumulate(np.append(first[1:, 0], BEHIND)[::-1])[::-1][:, None]
    trims = np.arange(num_trims)
    is_left = trims < end - first
    can_begin = is_left & (first + trims >= end_before[: len(tokens)])
    can_end = is_left & (end - trims <= start_behind[: len(tokens)])
    can_end, back = can_end[:, ::-1], trims[::-1]  # so that the ends ascend
    numbers = np.repeat(tokens[:, None], num_trims, axis=1)
    return Ends(
        (first + trims)[can_begin], numbers[can_begin], (end - back)[can_end], numbers[can_end]
    )


def last_ends(ends: Ends, max_answer_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (S,) the first and (S,) behind the last of the ends that each start can go with."""
    low = np.searchsorted(ends.ends, ends.starts, side="right")
    high = np.searchsorted(ends.end_tokens, ends.start_tokens + max_answer_length)
    return low, np.maximum(low, high)
