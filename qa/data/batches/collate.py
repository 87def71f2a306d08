"""From windows to a batch: their tokens concatenated, and the slot of each in a padded matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

ROUND_TO = 8  # matrix kernels are faster on multiples of 8


class Collator:
    """Packs windows into one batch: concatenates them on one token axis.

    With B windows of N tokens together, and T the longest window, rounded up to 8 but not above
    `max_length`, a batch is a dict of these, the tensors int64:

        input_ids: (N,).
        num_characters: (N,) characters of the context that each token covers.
        token_type_ids: (N,); only if the windows have them.
        slots: (N,) index of each token in a flattened (B, T) matrix of windows.
        lengths: B ints, tokens of each window.
        shape: (B, T).
        start_positions, end_positions, start_trims, end_trims: (B,).
        num_items: B.
        num_tokens: N.
        num_token_pairs: The sum of squared lengths, to which the cost of attention is proportional.
        num_positions: The tokens that the model computes: N, or B * T if it `pads`.
    """

    def __init__(self, max_length: int, pads: bool = False) -> None:
        self.max_length = max_length
        self.pads = pads

    def __call__(self, windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return one batch of these windows; the class says what it holds."""
        lengths = [int(window["length"]) for window in windows]
        longest = max(lengths)
        rounded = -(-longest // ROUND_TO) * ROUND_TO
        width = max(longest, min(rounded, self.max_length))
        is_token = np.arange(width) < np.array(lengths)[:, None]  # (B, T)
        batch: dict[str, Any] = {
            "input_ids": pack([w["input_ids"] for w in windows]),
            "slots": torch.from_numpy(np.flatnonzero(is_token)),
            "lengths": lengths,
            "shape": (len(windows), width),
        }
        if "token_type_ids" in windows[0]:
            batch["token_type_ids"] = pack([w["token_type_ids"] for w in windows])
        batch["num_characters"] = pack([w["offset_ends"] - w["offset_starts"] for w in windows])
        for name in ("start_position", "end_position", "start_trim", "end_trim"):
            batch[name + "s"] = torch.tensor([int(w[name]) for w in windows])
        batch["num_items"] = len(windows)
        batch["num_tokens"] = sum(lengths)
        batch["num_token_pairs"] = sum(length * length for length in lengths)
        batch["num_positions"] = len(windows) * width if self.pads else sum(lengths)
        return batch


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


def pack(rows: Sequence[np.ndarray]) -> torch.Tensor:
    """Return rows of different lengths concatenated, (N,) int64."""
    return torch.from_numpy(np.concatenate(rows).astype(np.int64))
