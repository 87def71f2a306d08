"""Attention on a CPU: batched products, window by window, that keep the probabilities.

H: heads, N: packed tokens, t: tokens of one window, rounded up, D: head width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch.nn import functional as F

from qa.models.packing.byte_dropout import draw_signs, keep_scale
from qa.models.packing.segments import ROUND_WIDTH, Lease, Scratch, Segments, round_up


def attend_on_cpu(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    segments: Segments,
    scaling: float,
    dropout: float,
    sliding_window: int | None = None,
) -> torch.Tensor:
    """Compute (H, N, D) each -> (N, H, D) by batched products, window by window.

    Args:
        query: (H, N, D).
        key: (H, N, D).
        value: (H, N, D).
        segments: Where each window lies on the packed axis.
        scaling: Factor of the scores.
        dropout: Probability of dropping an attention probability; 0 or less: none.
        sliding_window: Tokens this far apart, or farther, do not see each other; None: all do.
    """
    assert segments.lengths is not None  # on the host they are always there
    attend = cast("Callable[..., torch.Tensor]", _CpuAttention.apply)
    return attend(
        query * scaling,  # scaled here, on N x D numbers, instead of on t x t of every window
        key,
        value,
        segments.lengths,
        dropout if dropout > 0 else 0.0,
        segments.scratch,
        sliding_window,
    )


class _CpuAttention(torch.autograd.Function):
    """softmax(q k') v of each window, keeping the probabilities for the backward pass.

    torch's flash kernel for CPUs takes about three times as long for windows of a few hundred
    tokens: it is made for sequences whose matrix of scores does not fit into the cache. The
    probabilities kept are H * t * t numbers for each window and layer. A dropped one is kept too,
    with its sign bit set, so the mask costs no memory.

    t is a window's length rounded up to 16; what is behind its end gets probability 0. The products
    are compiled and kept for every shape that occurs: when every length had its own shape, training
    grew by gigabytes.
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
        sliding_window: int | None,
    ) -> torch.Tensor:
        num_heads, num_tokens, width = query.shape
        out = query.new_empty(num_tokens, num_heads, width)
        out_heads = out.transpose(0, 1)  # (H, N, D), the same memory
        out_heads[:, sum(lengths) :] = 0  # the filler, which nobody sees, attends to nothing
        is_kept = any(ctx.needs_input_grad)
        windows = _locate_windows(lengths)
        sizes = [num_heads * window.width**2 for window in windows]
        is_lent = is_kept and not scratch.is_checkpointed
        if is_kept and not is_lent:
            kept = query.new_empty(sum(sizes))
        else:
            kept = scratch.take(sum(sizes) if is_kept else max(sizes), query.dtype)
        # Without a backward pass all windows use the same memory, one after the other.
        matrices = torch.split(kept, sizes) if is_kept else [kept[:size] for size in sizes]
        for matrix, window in zip(matrices, windows, strict=True):
            probabilities = matrix.view(num_heads, window.width, window.width)  # (H, t, t)
            _fill_probabilities(probabilities, query, key, window, sliding_window)
            if dropout:
                _mark_dropped(probabilities, dropout)
            weights = probabilities.clamp_min(0) if dropout else probabilities
            window.write(out_heads, torch.bmm(weights, window.read(value)))
        if dropout:
            out *= keep_scale(dropout)
        if is_kept:
            ctx.save_for_backward(query, key, value, out, kept)
            if is_lent:
                ctx.lease = Lease(scratch, kept)  # until the graph is gone, not only this backward
        else:
            scratch.give(kept)
        ctx.windows, ctx.sizes, ctx.dropout, ctx.scratch = windows, sizes, dropout, scratch
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        # With P = softmax(S), O = P V and dP = dO V', the gradient of the scores is
        # dS = P * (dP - rowsum(P * dP)), where rowsum(P * dP) = rowsum(O * dO).
        # With dropout dP is 0 at what was dropped and scaled elsewhere; P stays the softmax.
        query, key, value, out, kept = ctx.saved_tensors
        grad_out = gradients[0]  # (N, H, D)
        means = (grad_out * out).sum(-1, dtype=torch.float32).to(out.dtype)  # (N, H) rowsum(O * dO)
        means = means.t().unsqueeze(2)  # (H, N, 1)
        if ctx.dropout:
            grad_out = grad_out * keep_scale(ctx.dropout)
        grad_heads = grad_out.transpose(0, 1)  # (H, N, D)
        grads = [torch.empty_like(out).transpose(0, 1) for _ in range(3)]  # (H, N, D) each
        for grad in grads:
            grad[:, ctx.windows[-1].start + ctx.windows[-1].length :] = 0
        spare = ctx.scratch.take(max(ctx.sizes), kept.dtype)
        for matrix, window in zip(torch.split(kept, ctx.sizes), ctx.windows, strict=True):
            q, k, v = window.read(query), window.read(key), window.read(value)
            go, mean = window.read(grad_heads), window.read(means)
            probabilities = matrix.view(len(q), window.width, window.width)  # (H, t, t)
            scores = spare[: len(matrix)].view_as(probabilities)
            weights = probabilities.clamp_min(0) if ctx.dropout else probabilities
            window.write(grads[2], torch.bmm(weights.transpose(1, 2), go))
            torch.bmm(go, v.transpose(1, 2), out=scores)  # dP
            if ctx.dropout:
                scores.mul_(weights).sub_(probabilities.abs().mul_(mean))
            else:
                scores.sub_(mean).mul_(weights)
            window.write(grads[0], torch.bmm(scores, k))
            window.write(grads[1], torch.bmm(scores.transpose(1, 2), q))
        ctx.scratch.give(spare)
        return (*grads, None, None, None, None)


class _Window(NamedTuple):
    """Where a window lies on the packed axis."""

    start: int
    length: int
    width: int  # length rounded up

    def read(self, packed: torch.Tensor) -> torch.Tensor:
        """Return the window's part of (H, N, D) as (H, t, D), 0 behind the window's end."""
        own = packed[:, self.start : self.start + self.length]
        return F.pad(own, (0, 0, 0, self.width - self.length))

    def write(self, packed: torch.Tensor, rows: torch.Tensor) -> None:
        """Write the window's tokens of `rows` (H, t, D) into `packed` (H, N, D)."""
        packed[:, self.start : self.start + self.length] = rows[:, : self.length]


def _locate_windows(lengths: Sequence[int]) -> list[_Window]:
    """Return where windows of these lengths lie if they are packed end to end."""
    windows, start = [], 0
    for length in lengths:
        windows.append(_Window(start, length, round_up(length, ROUND_WIDTH)))
        start += length
    return windows


def is_far(width: int, sliding_window: int, device: torch.device | None = None) -> torch.Tensor:
    """(T, T) bool, true for two tokens `sliding_window` or more apart."""
    index = torch.arange(width, device=device)
    return (index[:, None] - index).abs() >= sliding_window


def _fill_probabilities(
    probabilities: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    window: _Window,
    sliding_window: int | None,
) -> None:
    """Fill `probabilities` (H, t, t) with the softmax of a window's scaled scores."""
    torch.bmm(window.read(query), window.read(key).transpose(1, 2), out=probabilities)
    probabilities[:, :, window.length :] = float("-inf")
    if sliding_window is not None and sliding_window < window.length:
        far = is_far(window.width, sliding_window)
        # A row behind the window's end with nothing in sight would be NaN, and so all gradients.
        far[window.length :] = False
        probabilities.masked_fill_(far, float("-inf"))
    torch.softmax(probabilities, -1, out=probabilities)


def _mark_dropped(probabilities: torch.Tensor, dropout: float) -> None:
    """Set the sign bit of the probabilities that dropout drops."""
    signs = draw_signs(probabilities.numel(), dropout, probabilities.dtype)
    sign_bit = torch.iinfo(signs.dtype).min
    bits = probabilities.view(signs.dtype).view(-1)
    bits.bitwise_or_(signs.bitwise_and_(sign_bit))
