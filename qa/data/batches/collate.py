"""From windows to a batch: their tokens end to end, and where each of them goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

ROUND_TO = 8  # matrix kernels like multiples of 8


class Collator:
    """Packs windows end to end on one token axis.

    Returns input_ids, num_characters (of the context that a token covers) and, if the windows have
    them, token_type_ids, (N,) int64; slots (N,), the
    place of each token in a flattened (B, T) matrix of windows; lengths, B ints; shape (B, T), T
    being the longest window rounded up to 8 but not above `max_length`; start_positions,
    end_positions, start_trims and end_trims (B,); and the ints num_items (windows), num_tokens (N),
    num_token_pairs (the sum of squared lengths, what attention costs) and num_positions (what the
    model computes: N, or B * T if it `pads`).
    """

    def __init__(self, max_length: int, pads: bool = False) -> None:
        self.max_length = max_length
        self.pads = pads

    def __call__(self, windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Make one batch; see the class."""
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


def pack_offsets(windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What decoding takes beside the batch of these windows, and training has no use for.

    offset_starts, offset_ends: (N,) int64 characters of the context that each token covers.
    reach: an int, how far apart two tokens that share a character can be; 0 if none do.
    """
    names = ("offset_starts", "offset_ends")
    reach = max(find_reach(*(window[name] for name in names)) for window in windows)
    return {**{name: pack([w[name] for w in windows]) for name in names}, "reach": reach}


def find_reach(starts: np.ndarray, ends: np.ndarray) -> int:
    """How far apart two tokens of a window that share a character can be; 0 if none do."""
    covering = np.flatnonzero(starts < ends)
    end_so_far = np.maximum.accumulate(np.where(starts < ends, ends, 0))
    earliest = np.searchsorted(end_so_far, starts[covering], side="right")
    return int((covering - earliest).max(initial=0))


def pack(rows: Sequence[np.ndarray]) -> torch.Tensor:
    """Rows of different lengths, end to end, (N,) int64."""
    return torch.from_numpy(np.concatenate(rows).astype(np.int64))
