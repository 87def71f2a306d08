"""Attention within each window of a packed token axis, as transformers' encoders call it.

B: windows, H: heads, N: packed tokens, T: tokens of the longest window, D: head width.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch.nn import functional as F

from qa.models.packing.cpu_attention import attend_on_cpu, is_far
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
        segments: Where each window lies on the packed axis.
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
    attend = attend_on_cpu if query.device.type == "cpu" else attend_padded
    out = attend(query[0], key[0], value[0], segments, scaling, dropout, sliding_window)
    return out.unsqueeze(0), None


def attend_padded(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    segments: Segments,
    scaling: float,
    dropout: float,
    sliding_window: int | None = None,
) -> torch.Tensor:
    """Compute (H, N, D) each -> (N, H, D) by one padded SDPA call: for GPUs, where calls cost.

    Only attention sees padding; all other layers run on the packed axis. For the arguments see
    `segment_attention`.
    """
    num_tokens = len(segments.slots)
    # Together, since on a GPU the number of calls counts: (3, H, N, D) -> (B, T, 3, H, D).
    packed = torch.stack((query, key, value)).permute(2, 0, 1, 3)[:num_tokens]
    q, k, v = segments.to_rows(packed, 0.0).permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
    mask = segments.mask[:, None, None, :]  # (B, 1, 1, T)
    if sliding_window is not None:
        far = is_far(segments.shape[1], sliding_window, mask.device)
        # Behind a window's end a token sees all others: with none in sight it would be NaN.
        mask = mask & ~(far & segments.mask[:, None, :, None])  # (B, 1, T, T)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling)
    out = segments.from_rows(out.transpose(1, 2))
    return F.pad(out, (0, 0, 0, 0, 0, query.shape[1] - num_tokens))
