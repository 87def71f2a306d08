"""What a question-answering model is made of, and when it is none that qa can run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from qa.engine.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class UnfitModelError(UserError):
    """A question-answering model that qa cannot run, though perhaps its encoder alone."""


def head_parts(model: PreTrainedModel) -> tuple[str, ...]:
    """Return the names of the modules that turn hidden states into scores, in their order.

    Usually that is `qa_outputs`, one linear layer. In other models it is all that stands behind the
    encoder; whether it runs in this order is tried when the model is loaded.

    UnfitModelError if the model has no encoder that runs by itself, or nothing that scores.
    """
    name = type(model).__name__
    head = getattr(model, "qa_outputs", None)
    encoder = getattr(model, "base_model", None)
    if isinstance(head, nn.Linear):
        # Alone, though some models hold a dropout beside it: hidden states were dropped already.
        parts = ["qa_outputs"] if head.out_features == 2 else []
    else:
        parts = [part for part, module in model.named_children() if module is not encoder]
    if not parts:
        raise UnfitModelError(
            f"{name} has no linear span head (qa_outputs with 2 outputs), nor other modules behind"
            " its encoder"
        )
    if encoder is model:
        raise UnfitModelError(f"{name} has no encoder that runs apart from its head")
    return tuple(parts)


def hidden_size(model: PreTrainedModel) -> int:
    """Return the width of the encoder's last hidden states."""
    head = getattr(model, "qa_outputs", None)
    return int(head.in_features if isinstance(head, nn.Linear) else model.config.hidden_size)


def first_position(model: PreTrainedModel) -> int:
    """Return the position id of a window's first token."""
    # RoBERTa and its kin number positions from pad_token_id + 1.
    embeddings = getattr(model.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    is_shifted = getattr(table, "padding_idx", None) is not None
    return int(model.config.pad_token_id) + 1 if is_shifted else 0
