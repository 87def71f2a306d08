"""Windows packed end to end on one token axis, so that no step computes padding.

B: windows, T: tokens of the longest window, N: tokens of all windows together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch

# What is compiled for each shape is kept, so numbers of tokens are rounded up to make few shapes.
ROUND_WIDTH = 16  # a window's tokens in attention: to a multiple of this
ROUND_TOTAL = 64  # a training batch's tokens on a CPU: to a multiple of this
ROUND_TOTAL_GPU = 256  # on a GPU: six totals make 99 % of the batches of 16 windows of KorQuAD
EVAL_STEPS = 8  # an evaluation batch's tokens: to one of this many sizes between powers of 2


def round_up(number: int, step: int) -> int:
    """Return the smallest multiple of `step` that is not below `number`."""
    return -(-number // step) * step


def round_coarsely(number: int) -> int:
    """Return `number` rounded up by less than an eighth or 64, so that few totals occur at all."""
    return round_up(number, max(ROUND_TOTAL, 2 ** (number.bit_length() - 1) // EVAL_STEPS))


Attend: TypeAlias = Callable[..., torch.Tensor]
"""(H, N, D) query, key, value, segments, scaling, dropout, sliding_window -> (N, H, D)."""


class Scratch:
    """Memory of attention matrices that the next step uses again.

    Attention keeps a matrix for every window and layer, of ever new sizes. Allocated by the C
    library, they leave gaps that no later one fits into, and the process grows for as long as it
    trains; handed back to the system, they cost a page fault for every 4 KiB.
    """

    def __init__(self) -> None:
        # Whether layers run again in the backward pass. What that saves is still used when the
        # second pass's graph is gone, and only torch knows for how long.
        self.is_checkpointed = False
        self._free: list[torch.Tensor] = []
        self._lock = threading.Lock()

    def take(self, num_elements: int, dtype: torch.dtype) -> torch.Tensor:
        """Return (num_elements,) on the CPU, uninitialised; giving it back is not required."""
        with self._lock, torch.inference_mode(False):  # for later use outside of that mode too
            for i, buffer in enumerate(self._free):
                if buffer.dtype == dtype and len(buffer) >= num_elements:
                    return self._free.pop(i)[:num_elements]
            if self._free:  # too small for what is asked for now: grow instead of keeping both
                self._free.pop(0)
            return torch.empty(num_elements, dtype=dtype)[:]

    def give(self, tensor: torch.Tensor) -> None:
        """Give back the memory that `take` returned."""
        assert tensor._base is not None  # a view of all that was allocated
        self._free.append(tensor._base)


class Lease:
    """Gives scratch memory back when the lease itself is deleted."""

    def __init__(self, scratch: Scratch, tensor: torch.Tensor) -> None:
        self._scratch = scratch
        self._tensor = tensor

    def __del__(self) -> None:
        self._scratch.give(self._tensor)


@dataclass(frozen=True, eq=False)
class Segments:
    """Where each window lies on the packed axis, and where its tokens go in a (B, T) matrix.

    Behind the windows may come a filler: tokens that no row of the matrix holds. Their slots are
    those of one more row.

    Args:
        slots: (N,) each packed token's index in the flattened matrix, row * T + column.
        shape: (B, T).
        scratch: Memory of the model that the windows go through.
        attend: Computes attention within the windows; see `Attend`.
        lengths: Tokens of each window. Host ints, so that cutting the axis is no host sync. None
            where only `bounds` are read.
        bounds: (windows + 1,) int32 where windows, and the filler's pieces, begin and end on the
            axis; none is longer than T. None where only `lengths` are read.
    """

    slots: torch.Tensor
    shape: tuple[int, int]
    scratch: Scratch
    attend: Attend
    lengths: Sequence[int] | None = None
    bounds: torch.Tensor | None = None

    @property
    def positions(self) -> torch.Tensor:
        """(N,) each token's index in its window."""
        return self.slots % self.shape[1]

    def to_rows(self, packed: torch.Tensor, fill: float) -> torch.Tensor:
        """Turn (N, ...) into (B, T, ...), with `fill` behind each window's end."""
        return to_rows(packed, self.slots, self.shape, fill)

    def from_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Turn (B, T, ...) into (N, ...), leaving out what lies behind a window's end.

        With a filler there must be B + 1 rows, since its tokens come from the last.
        """
        return rows.flatten(0, 1).index_select(0, self.slots)

    @cached_property
    def mask(self) -> torch.Tensor:
        """(B, T) bool, true at tokens; made once for all layers."""
        return self.to_rows(torch.ones_like(self.slots, dtype=torch.bool), False)


def to_rows(
    packed: torch.Tensor, slots: torch.Tensor, shape: tuple[int, int], fill: float
) -> torch.Tensor:
    """Turn `packed` (N, ...) into (B, T, ...), with `fill` where no token goes.

    Args:
        packed: (N, ...) a row for each token.
        slots: (N,) each token's index in the flattened matrix, row * T + column; tokens of row B
            are left out.
        shape: (B, T).
        fill: Value of all other elements.
    """
    rows, width = shape
    flat = packed.new_full(((rows + 1) * width, *packed.shape[1:]), fill)
    flat = flat.index_copy(0, slots, packed)
    return flat[: rows * width].view(*shape, *packed.shape[1:])
