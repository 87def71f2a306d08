"""What a model can do, found out by trying it on two windows when it is loaded.

Nothing here asks for a model's name: what counts is what its forward does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from qa.engine.errors import UserError, require
from qa.models.packing import attention
from qa.models.packing.segments import Scratch, Segments
from qa.models.weights import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Share of the largest score. Rounding makes up to 4e-6 (BERT-large); seeing another window's tokens
# makes 5e-4 and more.
PACKED_TOLERANCE = 5e-5


def span_head(model: PreTrainedModel) -> nn.Linear:
    """Return the linear layer that scores starts and ends; UserError if the model has none."""
    head = getattr(model, "qa_outputs", None)
    if not isinstance(head, nn.Linear) or head.out_features != 2:
        raise UserError(
            f"{type(model).__name__} has no linear span head (qa_outputs with 2 outputs); use"
            " an encoder such as BERT, RoBERTa, ELECTRA or DistilBERT",
        )
    return head


@torch.no_grad()
def require_standard_forward(
    model: PreTrainedModel, score: Callable[..., torch.Tensor], padding_id: int
) -> None:
    """Raise UserError unless transformers' own forward gives the same scores as qa's.

    Some models compute more than encoder and head (Longformer adds global attention on the
    question). Trained here, it would be saved as another model than the one that was scored.

    Args:
        model: transformers' question-answering model.
        score: Takes the batch of `two_windows` and returns (2, B, T) start and end logits of
            windows padded by qa.
        padding_id: The token id behind a window's end.
    """
    batch = two_windows(model)
    segments = Segments(batch["lengths"], batch["slots"], batch["shape"], Scratch())
    ids = segments.to_rows(batch["input_ids"], padding_id)
    mask = segments.mask.long()
    with evaluating(model):
        theirs = model(input_ids=ids, attention_mask=mask)
        ours = score(**batch)
    real = mask == 1
    require(
        torch.equal(ours[0][real], theirs.start_logits[real])
        and torch.equal(ours[1][real], theirs.end_logits[real]),
        f"{type(model).__name__} is more than an encoder with a span head, which is all that qa can"
        " train",
    )


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
    batch = two_windows(model)
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
        finite = padded.isfinite()
        difference = (packed - padded)[finite].abs().max()
        if difference < PACKED_TOLERANCE * padded[finite].abs().max():
            return True
        model.set_attn_implementation(ordinary)
    return False


def two_windows(model: PreTrainedModel) -> dict[str, Any]:
    """Return a batch of two windows of different lengths, on the model's device, to try it on."""
    config, device = model.config, model.device
    # Without the padding token: RoBERTa's own forward gives it no position.
    ids = [i for i in range(min(getattr(config, "vocab_size", 9), 9)) if i != config.pad_token_id]
    return {
        "input_ids": torch.tensor((ids * 8)[:8], device=device),
        "slots": torch.arange(8, device=device),
        "lengths": [5, 3],
        "shape": (2, 5),
        "num_characters": torch.ones(8, dtype=torch.long, device=device),
    }


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Keep a module in evaluation mode inside the context, and restore its mode behind it."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
