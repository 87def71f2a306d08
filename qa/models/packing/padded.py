"""Windows padded to the longest of their batch, for models whose attention cannot be exchanged.

B: windows, T: tokens of the longest window, N: tokens of all windows together, F: hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from qa.models.packing.segments import Segments


def encode_padded(
    encoder: Callable[..., Any],
    inputs: Mapping[str, torch.Tensor],
    segments: Segments,
    padding_id: int,
) -> torch.Tensor:
    """Return the last hidden states, (N, F).

    Args:
        encoder: transformers' base model.
        inputs: Its inputs by name, (N,) each.
        segments: Where each window lies on the packed axis; there is no filler.
        padding_id: The model's own token id for padding: some models do more with it than not
            attend to it.
    """
    rows = {name: segments.to_rows(value, 0) for name, value in inputs.items()}  # (B, T)
    rows["input_ids"] = segments.to_rows(inputs["input_ids"], padding_id)
    return segments.from_rows(encoder(**rows, attention_mask=segments.mask.long())[0])
