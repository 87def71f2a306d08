"""Windows that are never beside padding, for models whose scores change with it.

N: tokens of all windows together, F: hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from qa.engine.errors import require
from qa.models.packing.segments import Segments


def encode_alone(
    encoder: Callable[..., Any], inputs: Mapping[str, torch.Tensor], segments: Segments
) -> torch.Tensor:
    """Return the last hidden states, (N, F), of windows run together with those as long only.

    Args:
        encoder: transformers' base model.
        inputs: Its inputs by name, (N,) each.
        segments: Where each window lies on the packed axis; there is no filler.

    Raises:
        UserError: The segments have no lengths.
    """
    lengths = list(segments.lengths or ())
    require(
        lengths,
        "this model reads windows of one length at a time, and their lengths differ from batch to"
        " batch: no CUDA graph can hold them; set cuda_graphs to off",
    )
    pieces = {name: torch.split(value, lengths) for name, value in inputs.items()}
    hidden: dict[int, torch.Tensor] = {}  # by window
    for length in sorted(set(lengths)):
        rows = [row for row, n in enumerate(lengths) if n == length]
        batch = {name: torch.stack([piece[row] for row in rows]) for name, piece in pieces.items()}
        mask = torch.ones_like(batch["input_ids"])
        out = encoder(**batch, attention_mask=mask)[0]
        hidden.update(zip(rows, out.unbind(), strict=True))
    return torch.cat([hidden[row] for row in range(len(lengths))])
