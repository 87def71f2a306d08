"""Windows that are never beside padding, for models whose scores change with it.

N: tokens of all windows together, F: hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch


def encode_alone(
    encoder: Callable[..., Any], inputs: Mapping[str, torch.Tensor], lengths: Sequence[int]
) -> torch.Tensor:
    """Return the last hidden states, (N, F), of windows run together with those as long only.

    Args:
        encoder: transformers' base model.
        inputs: Its inputs by name, (N,) each.
        lengths: Tokens of each window.
    """
    pieces = {name: torch.split(value, list(lengths)) for name, value in inputs.items()}
    hidden: dict[int, torch.Tensor] = {}  # by window
    for length in sorted(set(lengths)):
        rows = [row for row, n in enumerate(lengths) if n == length]
        batch = {name: torch.stack([piece[row] for row in rows]) for name, piece in pieces.items()}
        mask = torch.ones_like(batch["input_ids"])
        out = encoder(**batch, attention_mask=mask)[0]
        hidden.update(zip(rows, out.unbind(), strict=True))
    return torch.cat([hidden[row] for row in range(len(lengths))])
