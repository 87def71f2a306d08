"""From windows to a batch: their tokens concatenated, and the slot of each in a padded matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

ROUND_TO = 8  # matrix kernels are faster on multiples of 8


class Collator:
    """Packs windows into one batch: concatenates them on one token axis.

    Behind the windows comes a filler, some padding tokens that make the number of tokens one of
    few. It is a window of its own for attention and has no row among the scores, so that it changes
    neither a loss nor a gradient. With B windows of N tokens together, filler included, and T the
    longest window, rounded up to 8 but not above `max_length`, a batch is a dict of these, the
    tensors int64:

        input_ids: (N,).
        num_characters: (N,) characters of the context that each token covers.
        token_type_ids: (N,); only if the windows have them.
        slots: (N,) index of each token in a flattened (B + 1, T) matrix of windows; the filler's
            are in the last row, more than once if it is longer than that.
        bounds: (B + 2,) int32, where windows and filler begin and end; more if the filler is longer
            than T. Not if it `pads`.
        lengths: B ints, tokens of each window.
        shape: (B, T).
        start_positions, end_positions, start_trims, end_trims: (B,).
        num_items: B.
        num_tokens: The windows' tokens, without the filler.
        num_token_pairs: The sum of squared lengths, to which the cost of attention is proportional.
        num_positions: The tokens that the model computes: N, or B * T if it `pads`.

    Args:
        max_length: The longest that a window can be.
        pads: The model computes the (B, T) matrix with its padding; then there is no filler.
        round_total: Returns N for the windows' number of tokens; None: no filler.
        full_width: T is `max_length` for every batch.
        passes: How often every window is in the batch, one pass behind the other: B counts them
            all, labels and counts are those of one pass.
    """

    def __init__(
        self,
        max_length: int,
        pads: bool = False,
        round_total: Callable[[int], int] | None = None,
        full_width: bool = False,
        *,
        passes: int = 1,
    ) -> None:
        self.max_length = max_length
        self.pads = pads
        self.round_total = round_total or int
        self.full_width = full_width
        self.passes = passes

    def __call__(self, windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return one batch of these windows; the class says what it holds."""
        own = [int(window["length"]) for window in windows]
        lengths, read = own * self.passes, list(windows) * self.passes
        width = self._width(max(own))
        total = sum(lengths)
        filler = 0 if self.pads else self.round_total(total) - total
        is_token = np.arange(width) < np.array(lengths)[:, None]  # (B, T)
        behind = len(lengths) * width + np.arange(filler) % width
        batch: dict[str, Any] = {
            "input_ids": pack([w["input_ids"] for w in read], filler),
            "slots": torch.from_numpy(np.concatenate((np.flatnonzero(is_token), behind))),
            "lengths": lengths,
            "shape": (len(lengths), width),
        }
        if not self.pads:
            pieces = [min(width, filler - i) for i in range(0, filler, width)] or [0]
            edges = np.cumsum([0, *lengths, *pieces], dtype=np.int32)
            batch["bounds"] = torch.from_numpy(edges)
        if "token_type_ids" in windows[0]:
            batch["token_type_ids"] = pack([w["token_type_ids"] for w in read], filler)
        covered = [w["offset_ends"] - w["offset_starts"] for w in read]
        batch["num_characters"] = pack(covered, filler)
        for name in ("start_position", "end_position", "start_trim", "end_trim"):
            batch[name + "s"] = torch.tensor([int(w[name]) for w in windows])
        batch["num_items"] = len(windows)
        batch["num_tokens"] = sum(own)
        batch["num_token_pairs"] = sum(length * length for length in own)
        positions = len(lengths) * width if self.pads else total + filler
        batch["num_positions"] = positions // self.passes
        return batch

    def _width(self, longest: int) -> int:
        """Return T for the longest window of a batch."""
        if self.full_width:
            return max(longest, self.max_length)
        rounded = -(-longest // ROUND_TO) * ROUND_TO
        return max(longest, min(rounded, self.max_length))


def offset_rows(windows: Sequence[Mapping[str, Any]], width: int) -> np.ndarray:
    """Return the characters of the context that each token covers, for decoding.

    Returns:
        (2, B, T) int64, T = `width`: where they start, and their ends; both 0 behind a window's
        end.
    """
    lengths = np.array([int(window["length"]) for window in windows])
    is_token = np.arange(width) < lengths[:, None]  # (B, T)
    rows = np.zeros((2, len(windows), width), dtype=np.int64)
    for row, name in zip(rows, ("offset_starts", "offset_ends"), strict=True):
        row[is_token] = np.concatenate([window[name] for window in windows])
    return rows


def find_reach(starts: np.ndarray, ends: np.ndarray) -> int:
    """Return how far apart two tokens of a window that share a character can be, 0 if none do.

    `starts`, `ends`: (B, T) of `offset_rows`.
    """
    # As if each window's characters came after those of the window before.
    behind = np.arange(len(starts))[:, None] * (ends.max() + 1)
    covering = np.flatnonzero(starts < ends)  # special and empty tokens cover nothing
    starts, ends = ((matrix + behind).ravel()[covering] for matrix in (starts, ends))
    end_so_far = np.maximum.accumulate(ends)
    sharing = 1 + np.flatnonzero(starts[1:] < end_so_far[:-1])
    earliest = np.searchsorted(end_so_far, starts[sharing], side="right")
    return int((covering[sharing] - covering[earliest]).max(initial=0))


def pack(rows: Sequence[np.ndarray], filler: int = 0) -> torch.Tensor:
    """Return rows of different lengths, and behind them `filler` zeros, concatenated; int64."""
    zeros = np.zeros(filler, dtype=np.int64)
    return torch.from_numpy(np.concatenate((*rows, zeros), dtype=np.int64))
