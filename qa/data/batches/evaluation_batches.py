"""Which windows go into one batch of an evaluation: as many as fill it, whatever their order.

Full batches are all of one size, so few shapes occur: on a CPU each is compiled, and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

BATCH_SIZE = 32  # by default; in windows of full length
# On a CPU larger batches are no faster, and the C library leaves gaps as large as their tensors.
CPU_BATCH_TOKENS = 2048


def filled_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Indices of windows, in batches of at most `max_tokens` tokens packed end to end.

    lengths: tokens of each window; one that is longer than `max_tokens` gets a batch of its own.
    The longest come first, each into the first batch that has room left for it.
    """
    batches: list[list[int]] = []
    rooms: list[int] = []
    for length, indices in groupby(_longest_first(lengths), lambda index: lengths[index]):
        place = 0  # what had no room for one of this length has none for the next
        for index in indices:
            while place < len(batches) and rooms[place] < length:
                place += 1
            if place == len(batches):
                batches.append([])
                rooms.append(max_tokens)
            batches[place].append(index)
            rooms[place] -= length
    return batches


def padded_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Indices of windows, in batches of at most `max_tokens` tokens padded to their longest."""
    batches: list[list[int]] = []
    for index in _longest_first(lengths):
        longest = lengths[batches[-1][0]] if batches else 0
        if not batches or (len(batches[-1]) + 1) * longest > max_tokens:
            batches.append([])
        batches[-1].append(index)
    return batches


def _longest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda index: -lengths[index])
