"""Blocks of windows, which are answered together and then forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

WINDOWS_PER_BLOCK = 256  # within which batches are made; a last one need not be full

Window: TypeAlias = Mapping[str, Any]


def make_blocks(windows: Iterator[Window]) -> Iterator[list[Window]]:
    """Group a stream of windows into blocks that never separate the windows of one example."""
    block: list[Window] = []
    for window in windows:
        is_full = len(block) >= WINDOWS_PER_BLOCK
        if is_full and window["example_index"] != block[-1]["example_index"]:
            yield block
            block = []
        block.append(window)
    if block:
        yield block


def own_blocks(blocks: Iterator[list[Window]], rank: int, size: int) -> Iterator[Sequence[Window]]:
    """Yield the blocks of one of `size` processes, which get them in turn.

    [] where the last ones do not suffice for all, so that all gather equally often.
    """
    while together := list(islice(blocks, size)):
        yield together[rank] if rank < len(together) else []


def examples_of(windows: Sequence[Window]) -> slice:
    """Return the part of all examples that a block of windows is of."""
    if not windows:
        return slice(0, 0)
    return slice(int(windows[0]["example_index"]), int(windows[-1]["example_index"]) + 1)
