"""Which windows go into one batch of an evaluation: as many as fill it, whatever their order.

Full batches are all of one size, so few shapes occur; on a CPU each shape is compiled and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

BATCH_SIZE = 32  # the default, in windows of full length
# On a CPU larger batches are no faster, and the C library leaves gaps in memory as large as their
# tensors.
CPU_BATCH_TOKENS = 2048


def filled_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Return indices of windows, in batches of at most `max_tokens` packed tokens.

    `lengths` are the tokens of each window; a window longer than `max_tokens` gets a batch of its
    own. This is first-fit decreasing: the longest windows come first, and each goes into the first
    batch that has capacity left for it.
    """
    batches: list[list[int]] = []
    capacities: list[int] = []  # tokens that each batch can still hold
    for length, indices in groupby(_longest_first(lengths), lambda index: lengths[index]):
        number = 0  # a batch without capacity for one window of this length has none for the next
        for index in indices:
            while number < len(batches) and capacities[number] < length:
                number += 1
            if number == len(batches):
                batches.append([])
                capacities.append(max_tokens)
            batches[number].append(index)
            capacities[number] -= length
    return batches


def padded_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Return indices of windows, in batches of at most `max_tokens` tokens, padding included."""
    batches: list[list[int]] = []
    for index in _longest_first(lengths):
        longest = lengths[batches[-1][0]] if batches else 0
        if not batches or (len(batches[-1]) + 1) * longest > max_tokens:
            batches.append([])
        batches[-1].append(index)
    return batches


def _longest_first(lengths: Sequence[int]) -> list[int]:
    """Return the indices of `lengths`, sorted so that these decrease."""
    return sorted(range(len(lengths)), key=lambda index: -lengths[index])
