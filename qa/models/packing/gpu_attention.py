"""Attention on a GPU: torch's flash kernel on the packed axis, or one padded call where it fails.

B: windows, H: heads, N: packed tokens, T: tokens of the longest window, D: head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from qa.models.packing.cpu_attention import is_far
from qa.models.packing.segments import Segments


def attend_flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    segments: Segments,
    scaling: float,
    dropout: float,
    sliding_window: int | None = None,
) -> torch.Tensor:
    """Compute (H, N, D) each -> (N, H, D) by one kernel that knows where windows begin and end.

    For bf16 and fp16 on NVIDIA GPUs of compute capability 8.0 or more; RuntimeError elsewhere. For
    the arguments see `attend_on_cpu`.
    """
    # Never the batch's own longest window: a host number that changes would be another launch, and
    # a captured graph would go on with the first one.
    longest = segments.shape[1]
    reach = {}
    if sliding_window is not None:
        reach = {"window_size_left": sliding_window - 1, "window_size_right": sliding_window - 1}
    out: torch.Tensor = flash_forward(
        *(x.transpose(0, 1) for x in (query, key, value)),  # (N, H, D) views
        *(segments.bounds, segments.bounds, longest, longest),
        *(dropout, False, False),
        scale=scaling,
        **reach,
    )[0]
    return out


def flash_forward(*inputs: Any, **options: Any) -> Any:
    """Call the operator behind torch.nn.attention.varlen.varlen_attn.

    That one has no dropout and, before torch 2.11, no scale. A private operator may change, so
    `choose_attention` tries it.
    """
    return torch.ops.aten._flash_attention_forward(*inputs, **options)


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
    `attend_on_cpu`.
    """
    # Together, since on a GPU the number of calls counts: (3, H, N, D) -> (B, T, 3, H, D).
    packed = torch.stack((query, key, value)).permute(2, 0, 1, 3)
    q, k, v = segments.to_rows(packed, 0.0).permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
    mask = segments.mask[:, None, None, :]  # (B, 1, 1, T)
    if sliding_window is not None:
        far = is_far(segments.shape[1], sliding_window, mask.device)
        # Behind a window's end a token sees all others: with none in sight it would be NaN.
        mask = mask & ~(far & segments.mask[:, None, :, None])  # (B, 1, T, T)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling)
    rows = out.transpose(1, 2)  # (B, T, H, D)
    return segments.from_rows(F.pad(rows, (0, 0, 0, 0, 0, 0, 0, 1)))  # the filler attends to none
