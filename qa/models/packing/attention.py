"""Attention within each window of a packed token axis, as transformers' encoders call it.

B: windows, H: heads, N: packed tokens, t: tokens of one window, T: of the longest, D: head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from qa.models.packing.byte_dropout import draw_signs, keep_scale
from qa.models.packing.segments import ROUND_WIDTH, Lease, Scratch, Segments, round_up

NAME = "qa_segments"


def register() -> None:
    """Make the attention known to transformers under `NAME`."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, segment_attention)
    # For calls without segments, which are padded as usual.
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
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention function: (1, H, N, D) each -> (1, N, H, D).

    Without `segments` it is transformers' SDPA attention on a padded batch.
    """
    if segments is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
    if scaling is None:
        scaling = query.shape[-1] ** -0.5
    attend = attend_on_cpu if query.device.type == "cpu" else attend_padded
    out = attend(query[0], key[0], value[0], segments, scaling, dropout)
    return out.unsqueeze(0), None


def attend_padded(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    segments: Segments,
    scaling: float,
    dropout: float,
) -> torch.Tensor:
    """(H, N, D) each -> (N, H, D) by one padded SDPA call: for GPUs, where calls cost.

    Only attention sees padding; all other layers run on the packed axis.
    """
    num_tokens = len(segments.slots)
    # Together, since on a GPU the number of calls counts: (3, H, N, D) -> (B, T, 3, H, D).
    packed = torch.stack((query, key, value)).permute(2, 0, 1, 3)[:num_tokens]
    q, k, v = segments.to_rows(packed, 0.0).permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
    mask = segments.mask[:, None, None, :]  # (B, 1, 1, T)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling)
    out = segments.from_rows(out.transpose(1, 2))
    return F.pad(out, (0, 0, 0, 0, 0, query.shape[1] - num_tokens))


def attend_on_cpu(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    segments: Segments,
    scaling: float,
    dropout: float,
) -> torch.Tensor:
    """(H, N, D) each -> (N, H, D) by batched products, window by window."""
    # Scaled here, on N x D numbers, instead of on t x t of every window.
    out: torch.Tensor = _CpuAttention.apply(
        query * scaling,
        key,
        value,
        segments.lengths,
        dropout if dropout > 0 else 0.0,
        segments.scratch,
    )
    return out


class _CpuAttention(torch.autograd.Function):
    """softmax(q k') v of each window, keeping the probabilities for the backward pass.

    torch's flash kernel for CPUs takes about three times as long for windows of a few hundred
    tokens: it is made for sequences whose matrix of scores does not fit into the cache. The
    probabilities kept are H * t * t numbers for each window and layer. A dropped one is kept too,
    with its sign bit set, so the mask costs no memory.

    t is a window's length rounded up to 16; what is behind its end gets probability 0. The products
    are compiled and kept for every shape that occurs: with every length of its own, training grew
    by gigabytes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        lengths: Sequence[int],
        dropout: float,
        scratch: Scratch,
    ) -> torch.Tensor:
        num_heads, num_tokens, width = query.shape
        out = query.new_empty(num_tokens, num_heads, width)
        heads = out.transpose(0, 1)  # (H, N, D), the same memory
        heads[:, sum(lengths) :] = 0  # tokens of no window
        is_kept = any(ctx.needs_input_grad)
        places = _places(lengths)
        sizes = [num_heads * place.width**2 for place in places]
        kept = scratch.take(sum(sizes) if is_kept else max(sizes), query.dtype)
        matrices = kept.split(sizes) if is_kept else [kept[:size] for size in sizes]
        for matrix, place in zip(matrices, places, strict=True):
            q, k, v = place.cut(query), place.cut(key), place.cut(value)
            scores = matrix.view(num_heads, place.width, place.width)  # (H, t, t)
            torch.bmm(q, k.transpose(1, 2), out=scores)
            scores[:, :, place.length :] = float("-inf")
            torch.softmax(scores, -1, out=scores)
            if dropout:
                _mark_dropped(scores, dropout)
            place.put(heads, torch.bmm(scores.clamp_min(0) if dropout else scores, v))
        if dropout:
            out *= keep_scale(dropout)
        if is_kept:
            ctx.save_for_backward(query, key, value, out, kept)
            ctx.lease = Lease(scratch, kept)  # until the graph is gone, not only this backward
        else:
            scratch.give(kept)
        ctx.places, ctx.sizes, ctx.dropout, ctx.scratch = places, sizes, dropout, scratch
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, out, kept = ctx.saved_tensors
        grad_out = gradients[0]  # (N, H, D)
        # The mean gradient of each row of the softmax, weighed by its probabilities.
        means = (grad_out * out).sum(-1, dtype=torch.float32).to(out.dtype)  # (N, H)
        means = means.t().unsqueeze(2)  # (H, N, 1)
        if ctx.dropout:
            grad_out = grad_out * keep_scale(ctx.dropout)
        grad_heads = grad_out.transpose(0, 1)  # (H, N, D)
        grads = [torch.empty_like(out).transpose(0, 1) for _ in range(3)]  # (H, N, D) each
        for grad in grads:
            grad[:, ctx.places[-1].start + ctx.places[-1].length :] = 0
        spare = ctx.scratch.take(max(ctx.sizes), kept.dtype)
        for matrix, place in zip(kept.split(ctx.sizes), ctx.places, strict=True):
            q, k, v = place.cut(query), place.cut(key), place.cut(value)
            go, mean = place.cut(grad_heads), place.cut(means)
            probabilities = matrix.view(len(q), place.width, place.width)  # (H, t, t)
            scores = spare[: len(matrix)].view_as(probabilities)
            weights = probabilities.clamp_min(0) if ctx.dropout else probabilities
            place.put(grads[2], torch.bmm(weights.transpose(1, 2), go))
            torch.bmm(go, v.transpose(1, 2), out=scores)  # the gradient of the weights
            if ctx.dropout:
                scores.mul_(weights).sub_(probabilities.abs().mul_(mean))
            else:
                scores.sub_(mean).mul_(weights)
            place.put(grads[0], torch.bmm(scores, k))
            place.put(grads[1], torch.bmm(scores.transpose(1, 2), q))
        ctx.scratch.give(spare)
        return (*grads, None, None, None)


class _Place(NamedTuple):
    """Where a window lies on the packed axis."""

    start: int
    length: int
    width: int  # length rounded up

    def cut(self, packed: torch.Tensor) -> torch.Tensor:
        """(H, N, D) -> (H, t, D), 0 behind the window's end."""
        own = packed[:, self.start : self.start + self.length]
        return F.pad(own, (0, 0, 0, self.width - self.length))

    def put(self, packed: torch.Tensor, rows: torch.Tensor) -> None:
        """Write the window's own of (H, t, D) into (H, N, D)."""
        packed[:, self.start : self.start + self.length] = rows[:, : self.length]


def _places(lengths: Sequence[int]) -> list[_Place]:
    places, start = [], 0
    for length in lengths:
        places.append(_Place(start, length, round_up(length, ROUND_WIDTH)))
        start += length
    return places


def _mark_dropped(probabilities: torch.Tensor, dropout: float) -> None:
    """Set the sign bit of the probabilities that dropout takes."""
    signs = draw_signs(probabilities.numel(), dropout, probabilities.dtype)
    sign_bit = torch.iinfo(signs.dtype).min
    bits = probabilities.view(signs.dtype).view(-1)
    bits.bitwise_or_(signs.bitwise_and_(sign_bit))
