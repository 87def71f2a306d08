"""From windows to a padded batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

PAD_TO_MULTIPLE = 8  # matrix kernels like multiples of 8


class Collator:
    """Pads windows to the longest of the batch, rounded up to 8 but not above `max_length`.

    Returns input_ids, attention_mask and, if the windows have them, token_type_ids, (B, T) int64;
    start_positions and end_positions (B,); and the ints num_items (windows), num_tokens (real) and
    num_positions (B * T).
    """

    def __init__(self, pad_token_id: int, max_length: int) -> None:
        self.pad_token_id = pad_token_id
        self.max_length = max_length

    def __call__(self, windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Make one batch; see the class."""
        lengths = [int(window["length"]) for window in windows]
        longest = max(lengths)
        rounded = -(-longest // PAD_TO_MULTIPLE) * PAD_TO_MULTIPLE
        width = max(longest, min(rounded, self.max_length))
        attention_mask = np.arange(width) < np.array(lengths)[:, None]
        batch: dict[str, Any] = {
            "input_ids": pad([w["input_ids"] for w in windows], width, self.pad_token_id),
            "attention_mask": torch.from_numpy(attention_mask.astype(np.int64)),
        }
        if "token_type_ids" in windows[0]:
            types = [w["token_type_ids"] for w in windows]
            batch["token_type_ids"] = pad(types, width, 0)
        for name in ("start_position", "end_position"):
            batch[name + "s"] = torch.tensor([int(w[name]) for w in windows])
        batch["num_items"] = len(windows)
        batch["num_tokens"] = sum(lengths)
        batch["num_positions"] = len(windows) * width
        return batch


def make_collator(tokenizer: Any, max_length: int) -> Collator:
    """The collator that fits a tokenizer's padding."""
    pad_token_id = tokenizer.pad_token_id
    # Padding is masked, so a tokenizer without a pad token can use any id.
    return Collator(pad_token_id if pad_token_id is not None else 0, max_length)


def pad(rows: Sequence[np.ndarray], width: int, value: int) -> torch.Tensor:
    """Stack rows of different lengths into (B, width) int64, filled up with `value`."""
    padded = np.full((len(rows), width), value, dtype=np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return torch.from_numpy(padded)
