"""What a model can do, found out by trying it on two windows when it is loaded.

Nothing here asks for a model's name: what counts is what its forward does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from qa.engine.errors import cut
from qa.engine.modes import evaluating, kept_modes
from qa.models.head_parts import UnfitModelError
from qa.models.packing import attention
from qa.models.packing.cpu_attention import attend_on_cpu
from qa.models.packing.segments import Scratch, Segments
from qa.models.packing.trial import SHORT_WINDOWS, are_close, telling_lengths, uneven_lengths
from qa.models.weights import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RULED_OUT = -1e5  # a logit below is no score


@torch.no_grad()
def require_standard_forward(
    model: PreTrainedModel, score: Callable[..., torch.Tensor], padding_id: int
) -> None:
    """Raise UnfitModelError unless transformers' own forward gives the same scores as qa's.

    Some models compute more than encoder and head (Longformer adds global attention on the
    question). Trained here, it would be saved as another model than the one that was scored.

    Args:
        model: transformers' question-answering model.
        score: Takes the batch of `two_windows` and returns (2, B, T) start and end logits of
            windows padded by qa.
        padding_id: The token id behind a window's end.
    """
    batch = two_windows(model)
    segments = Segments(batch["slots"], batch["shape"], Scratch(), attend_on_cpu)
    ids = segments.to_rows(batch["input_ids"], padding_id)
    inputs = [{"input_ids": ids, "attention_mask": segments.mask.long()}]
    if getattr(model.config, "type_vocab_size", 0) > 1:
        # BigBird's own forward makes up types where none are passed; qa's encoder sees zeros then.
        inputs.append({**inputs[0], "token_type_ids": torch.zeros_like(ids)})
    name = type(model).__name__
    try:
        with evaluating(model), quiet_transformers():
            ours = score(**batch)
            is_standard = any(_are_equal(ours, model(**each), segments.mask) for each in inputs)
    # Whatever a model raises: wrong shapes, inputs it lacks, separators it looks for.
    except Exception as error:
        raise UnfitModelError(
            f"{name} is loaded, but two short windows cannot be run through it ({cut(str(error))})"
        ) from error
    if not is_standard:
        raise UnfitModelError(
            f"{name} is more than an encoder with a span head, which is all that qa can train"
        )


def _are_equal(ours: torch.Tensor, theirs: Any, is_token: torch.Tensor) -> bool:
    """Return whether qa's (2, B, T) logits are those that transformers' model returned.

    Tokens that the model rules out count as equal: BigBird's own forward does so with the question,
    which qa does not search for answers either.
    """
    is_token = is_token & (theirs.start_logits > RULED_OUT)
    starts, ends = theirs.start_logits[is_token], theirs.end_logits[is_token]
    is_same = torch.equal(ours[0][is_token], starts) and torch.equal(ours[1][is_token], ends)
    return bool(is_token.any()) and is_same


@torch.no_grad()
def exchange_attention(
    model: PreTrainedModel,
    score_padded: Callable[..., torch.Tensor],
    score_packed: Callable[..., torch.Tensor],
) -> bool:
    """Exchange the encoder's attention for that of packed windows, and return whether that worked.

    It worked if packed windows give the same scores as padded ones gave before; otherwise the model
    is left as it was.

    Args:
        model: transformers' question-answering model.
        score_padded: Takes the batch of `two_windows` and returns (2, B, T) start and end logits of
            padded windows.
        score_packed: Returns the same of windows packed end to end.
    """
    lengths = telling_lengths(model.config)
    if lengths is None:
        return False
    batch = two_windows(model, lengths)
    ordinary = model.config._attn_implementation
    attention.register()
    with evaluating(model), quiet_transformers():
        padded = score_padded(**batch)
        model.set_attn_implementation(attention.NAME)
        # A model with an attention of its own warns and leaves it as it is.
        if model.config._attn_implementation != attention.NAME:
            return False
        try:
            packed = score_packed(**batch)
        # The model refuses positions or further arguments, or has fewer heads for keys than for
        # queries.
        except (TypeError, RuntimeError):
            packed = torch.full_like(padded, float("nan"))
        if are_close(packed, padded):
            return True
        model.set_attn_implementation(ordinary)
    return False


@torch.no_grad()
def sees_padding(
    model: PreTrainedModel,
    score_padded: Callable[..., torch.Tensor],
    score_alone: Callable[..., torch.Tensor],
) -> bool:
    """Return whether a window's scores change with the padding behind it.

    Convolutions and Fourier transforms reach into padding, which no mask keeps from them. UserError
    if the model cannot be run without padding either.

    Args:
        model: transformers' question-answering model.
        score_padded: Takes the batch of `two_windows` and returns (2, B, T) start and end logits of
            padded windows.
        score_alone: Returns the same of windows that the encoder sees without padding.
    """
    batch = two_windows(model, uneven_lengths(model.config))
    name = type(model).__name__
    # Reformer takes every length but in training. What dropout draws here is put back.
    with torch.random.fork_rng(devices=[]), kept_modes(model):
        try:
            score_padded(**two_windows(model.train()))
        except Exception as error:
            raise UnfitModelError(
                f"{name} runs, but not in training ({cut(str(error))})"
            ) from error
    with evaluating(model):
        try:
            return not are_close(score_padded(**batch), score_alone(**batch))
        except Exception as error:
            raise UnfitModelError(
                f"{name} cannot be run without padding, so that it cannot be told"
                f" whether it sees padding ({cut(str(error))})"
            ) from error


def two_windows(model: PreTrainedModel, lengths: tuple[int, int] = SHORT_WINDOWS) -> dict[str, Any]:
    """Return a batch of two windows, the longer one first, on the model's device, to try it on."""
    config, device = model.config, model.device
    # Without the padding token: RoBERTa's own forward gives it no position.
    ids = [i for i in range(min(getattr(config, "vocab_size", 9), 9)) if i != config.pad_token_id]
    total, longest = sum(lengths), lengths[0]
    index = torch.arange(total, device=device)
    return {
        "input_ids": torch.tensor((ids * total)[:total], device=device),
        "slots": index,  # the first row is full
        "lengths": list(lengths),
        "shape": (2, longest),
        "num_characters": torch.ones(total, dtype=torch.long, device=device),
    }
