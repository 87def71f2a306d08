"""Windows packed end to end on one token axis, so that no step computes padding.

B: windows, T: tokens of the longest window, N: tokens of all windows together.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

ROUND_WIDTH = 16  # of a window in attention
ROUND_TOTAL = 64  # of all tokens; few shapes, since what is compiled for each is kept
EVAL_STEPS = 8  # of all tokens, between powers of 2


def round_up(number: int, step: int) -> int:
    """The smallest multiple of `step` that is not below `number`."""
    return -(-number // step) * step


def round_coarsely(number: int) -> int:
    """`number` rounded up, by less than an eighth or 64, so that few totals occur at all."""
    return round_up(number, max(ROUND_TOTAL, 2 ** (number.bit_length() - 1) // EVAL_STEPS))


class Scratch:
    """Memory that is used again by the next step.

    Attention keeps a matrix for every window and layer, of ever new sizes. Taken from the C
    library's allocator they leave gaps that no later one fits into, and the process grows for as
    long as it trains; handed back to the system, they cost a page fault for every 4 KiB.
    """

    def __init__(self) -> None:
        self._free: list[torch.Tensor] = []
        self._lock = threading.Lock()

    def take(self, num_elements: int, dtype: torch.dtype) -> torch.Tensor:
        """(num_elements,) on the CPU, uninitialised. It may be given back, or be forgotten."""
        with self._lock, torch.inference_mode(False):  # for later use outside of that mode too
            for i, buffer in enumerate(self._free):
                if buffer.dtype == dtype and len(buffer) >= num_elements:
                    return self._free.pop(i)[:num_elements]
            if self._free:  # too small for what is asked for now: grow instead of keeping both
                self._free.pop(0)
            return torch.empty(num_elements, dtype=dtype)[:]

    def give(self, tensor: torch.Tensor) -> None:
        """Give back what `take` returned."""
        assert tensor._base is not None  # a view of all that was allocated
        self._free.append(tensor._base)


class Lease:
    """Gives scratch memory back when it is dropped itself."""

    def __init__(self, scratch: Scratch, tensor: torch.Tensor) -> None:
        self._scratch = scratch
        self._tensor = tensor

    def __del__(self) -> None:
        self._scratch.give(self._tensor)


@dataclass(frozen=True, eq=False)
class Segments:
    """Where each window lies on the packed axis, and where its tokens go in a (B, T) matrix.

    lengths: tokens of each window, host ints, so that cutting the axis is no host sync.
    slots: (N,) for each packed token its place in the flattened matrix, row * T + column. scratch:
    of the model that they go through.
    """

    lengths: Sequence[int]
    slots: torch.Tensor
    shape: tuple[int, int]
    scratch: Scratch

    @property
    def positions(self) -> torch.Tensor:
        """(N,) each token's place in its window."""
        return self.slots % self.shape[1]

    def to_rows(self, packed: torch.Tensor, fill: float) -> torch.Tensor:
        """(N, ...) -> (B, T, ...), with `fill` behind each window's end."""
        return to_rows(packed, self.slots, self.shape, fill)

    def from_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """(B, T, ...) -> (N, ...); what lies behind a window's end is left out."""
        return rows.flatten(0, 1).index_select(0, self.slots)

    @cached_property
    def mask(self) -> torch.Tensor:
        """(B, T) bool, true at tokens; made once for all layers."""
        flat = self.slots.new_zeros(self.shape[0] * self.shape[1], dtype=torch.bool)
        return flat.index_fill(0, self.slots, True).view(self.shape)


def to_rows(
    packed: torch.Tensor, slots: torch.Tensor, shape: tuple[int, int], fill: float
) -> torch.Tensor:
    """(N, ...) -> (B, T, ...), with `fill` where no token goes."""
    flat = packed.new_full((shape[0] * shape[1], *packed.shape[1:]), fill)
    return flat.index_copy(0, slots, packed).unflatten(0, shape)
