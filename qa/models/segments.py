"""Windows packed end to end on one token axis, so that no step computes padding.

B: windows, T: tokens of the longest window, N: tokens of all windows together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch


class Segments(NamedTuple):
    """Where each window lies on the packed axis, and where its tokens go in a (B, T) matrix.

    lengths: tokens of each window, host ints, so that cutting the axis is no host sync.
    slots: (N,) for each packed token its place in the flattened matrix, row * T + column.
    """

    lengths: Sequence[int]
    slots: torch.Tensor
    shape: tuple[int, int]

    @property
    def positions(self) -> torch.Tensor:
        """(N,) each token's place in its window."""
        return self.slots % self.shape[1]

    def to_rows(self, packed: torch.Tensor, fill: float) -> torch.Tensor:
        """(N, ...) -> (B, T, ...), with `fill` behind each window's end."""
        flat = packed.new_full((self.shape[0] * self.shape[1], *packed.shape[1:]), fill)
        return flat.index_copy(0, self.slots, packed).unflatten(0, self.shape)

    def from_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """(B, T, ...) -> (N, ...); what lies behind a window's end is left out."""
        return rows.flatten(0, 1).index_select(0, self.slots)

    def mask(self) -> torch.Tensor:
        """(B, T) bool, true at tokens."""
        flat = self.slots.new_zeros(self.shape[0] * self.shape[1], dtype=torch.bool)
        return flat.index_fill(0, self.slots, True).view(self.shape)
