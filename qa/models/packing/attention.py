"""Attention within each window of a packed token axis, as transformers' encoders call it.

B: windows, H: heads, N: packed tokens, T: tokens of the longest window, D: head width.
"""

from __future__ import annotations

from typing import Any, cast

import torch

from qa.models.packing.segments import Segments

NAME = "qa_segments"


def register() -> None:
    """Make this attention known to transformers under `NAME`."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, segment_attention)
    # For calls without segments, whose windows are padded as usual.
    AttentionMaskInterface.register(NAME, sdpa_mask)


def segment_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    segments: Segments | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Compute attention: (1, H, N, D) each -> (1, N, H, D), and None for the probabilities.

    The signature is transformers'. Without `segments` this is transformers' SDPA attention on a
    padded batch.

    Args:
        module: The attention layer that calls.
        query: (1, H, N, D).
        key: (1, H, N, D).
        value: (1, H, N, D).
        attention_mask: Used without `segments` only.
        scaling: Factor of the scores; 1 / sqrt(D) if None.
        dropout: Probability of dropping an attention probability.
        segments: Where each window lies on the packed axis, and which function attends.
        sliding_window: Tokens this far apart, or farther, do not see each other; None: all do.
            Without `segments` the mask says so.
        kwargs: What else transformers passes; used without `segments` only.
    """
    if segments is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        padded = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
        return cast("tuple[torch.Tensor, None]", padded)
    if scaling is None:
        scaling = query.shape[-1] ** -0.5
    # Rotary positions make fp32 of them under autocast; the backward pass has none.
    query, key = query.to(value.dtype), key.to(value.dtype)
    # Not query[0], whose gradient would be a copy into zeros.
    inputs = (x.squeeze(0) for x in (query, key, value))
    return segments.attend(*inputs, segments, scaling, dropout, sliding_window).unsqueeze(0), None
