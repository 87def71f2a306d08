"""A stand-in on CPUs for torch's flash attention on packed windows: its arguments, plain formulas.

N: packed tokens, H: heads, D: head width, t: tokens of a window.
"""

from __future__ import annotations

from typing import Any

import torch

Three = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@torch.library.custom_op("qa_tests::flash", mutates_args=())
def flash(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bounds: torch.Tensor,
    longest: int,
    scale: float,
    reach: int,
) -> torch.Tensor:
    """(N, H, D) each -> (N, H, D); `reach`: tokens seen to each side, -1: all of the window."""
    out = torch.empty(q.shape, dtype=q.dtype)
    for i, j in windows(bounds, longest, len(q)):
        out[i:j] = (softmax(q[i:j], k[i:j], scale, reach) @ v[i:j].transpose(0, 1)).transpose(0, 1)
    return out


@torch.library.custom_op("qa_tests::flash_backward", mutates_args=())
def flash_backward(
    grad: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bounds: torch.Tensor,
    longest: int,
    scale: float,
    reach: int,
) -> Three:
    """The gradients of q, k and v."""
    grads = torch.empty((3, *q.shape), dtype=q.dtype)
    for i, j in windows(bounds, longest, len(q)):
        one, query, key, value = (x[i:j].transpose(0, 1) for x in (grad, q, k, v))  # (H, t, D)
        p = softmax(q[i:j], k[i:j], scale, reach)
        dp = one @ value.transpose(1, 2)
        ds = p * (dp - (p * dp).sum(2, keepdim=True)) * scale
        found = ds @ key, ds.transpose(1, 2) @ query, p.transpose(1, 2) @ one
        for whole, part in zip(grads, found, strict=True):
            whole[i:j] = part.transpose(0, 1)
    first, second, third = (x.clone() for x in grads)
    return first, second, third


def windows(bounds: torch.Tensor, longest: int, total: int) -> list[tuple[int, int]]:
    """Where each window begins and ends; they must cover all tokens and be no longer than told."""
    assert bounds.dtype == torch.int32
    edges = bounds.tolist()
    assert (edges[0], edges[-1]) == (0, total)
    pairs = list(zip(edges, edges[1:], strict=False))
    assert all(0 <= j - i <= longest for i, j in pairs)
    return pairs


def softmax(q: torch.Tensor, k: torch.Tensor, scale: float, reach: int) -> torch.Tensor:
    """(t, H, D) each -> (H, t, t) probabilities."""
    scores = q.transpose(0, 1) @ k.permute(1, 2, 0) * scale
    if reach >= 0:
        index = torch.arange(len(q))
        scores = scores.masked_fill((index[:, None] - index).abs() > reach, float("-inf"))
    return scores.softmax(2)


# Not len(q): that would make the number of tokens a constant of what is compiled.
flash.register_fake(lambda q, *_: torch.empty_like(q, memory_format=torch.contiguous_format))
flash_backward.register_fake(
    lambda grad, q, k, v, *_: tuple(
        torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v)
    )
)


def keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    """Save what the backward pass needs."""
    ctx.save_for_backward(*inputs[:4])
    ctx.rest = inputs[4:]


def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """The gradients of all inputs."""
    return (*flash_backward(grad, *ctx.saved_tensors, *ctx.rest), None, None, None, None)


flash.register_autograd(backward, setup_context=keep)


def flash_forward(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bounds: torch.Tensor,
    bounds_of_keys: torch.Tensor,
    longest: int,
    longest_key: int,
    dropout: float,
    is_causal: bool,
    returns_mask: bool,
    *,
    scale: float,
    window_size_left: int = -1,
    window_size_right: int = -1,
) -> tuple[torch.Tensor]:
    """What `torch.ops.aten._flash_attention_forward` computes without dropout; its first output."""
    assert bounds_of_keys is bounds
    assert (longest_key, dropout, is_causal, returns_mask) == (longest, 0, False, False)
    assert window_size_left == window_size_right
    return (flash(q, k, v, bounds, longest, scale, window_size_left),)
