"""Which part of an encoder is trained, and what its layers keep for the backward pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qa.engine.errors import UserError, require

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def freeze(model: PreTrainedModel, prefixes: Sequence[str]) -> None:
    """Keep the encoder's parameters as they are whose names begin with one of the prefixes.

    Args:
        model: transformers' question-answering model.
        prefixes: Whole parts of names, as transformers has them: "encoder.layer.1" is not
            "encoder.layer.11".

    Raises:
        UserError: A prefix fits no name.
    """
    parameters = dict(model.base_model.named_parameters())
    parts = dict.fromkeys(part_of(name) for name in parameters)
    for prefix in prefixes:
        fitting = [p for name, p in parameters.items() if f"{name}.".startswith(f"{prefix}.")]
        require(
            fitting,
            f"freeze: no parameter of the encoder begins with {prefix!r}; its parts are"
            f" {', '.join(parts)}",
        )
        for parameter in fitting:
            parameter.requires_grad_(False)


def part_of(name: str) -> str:
    """Return the beginning of a parameter's name that makes a layer, or else its first word."""
    layer = re.match(r".*?\.\d+(?=\.)", name)
    return layer[0] if layer else name.partition(".")[0]


def checkpoint_layers(model: PreTrainedModel) -> None:
    """Keep only the inputs of the encoder's layers; the backward pass computes the rest again.

    Raises:
        UserError: The model cannot do that.
    """
    # The newer name of the same; newer versions of transformers warn of the other one.
    newer = getattr(model, "activation_checkpointing_enable", None)
    enable: Callable[[dict[str, Any]], None] = newer or model.gradient_checkpointing_enable
    try:
        enable({"use_reentrant": False})
    except ValueError as error:
        raise UserError(
            f"gradient_checkpointing: {type(model).__name__} does not support it"
        ) from error
    # transformers makes the embeddings ask for a gradient, which only the other kind needs; the
    # layers above frozen embeddings would have a backward pass for nothing.
    if hasattr(model, "_require_grads_hook"):
        model.disable_input_require_grads()
    # Layers look at marks of their own. At the encoder's, transformers warns that it has no cache.
    encoder = model.base_model
    if any(getattr(m, "gradient_checkpointing", False) for m in encoder.modules() if m != encoder):
        encoder.gradient_checkpointing = False
