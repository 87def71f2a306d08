"""Checkpoints of another task, such as classifiers and rerankers: their heads are no span heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

OTHER_TASKS = ("ForSequenceClassification", "ForTokenClassification", "ForMultipleChoice")


def is_of_another_task(config: PretrainedConfig) -> bool:
    """Return whether a configuration was saved with a model of another task."""
    return any(name.endswith(OTHER_TASKS) for name in config.architectures or ())


def set_two_labels(config: PretrainedConfig) -> int | None:
    """Make a configuration that of a span head, start and end; return its labels if not 2."""
    labels = int(config.num_labels)
    if labels == 2:
        return None
    config.num_labels = 2
    return labels


@torch.no_grad()
def draw_last_layer(model: PreTrainedModel, part: str) -> None:
    """Draw the weights of a linear layer anew, from torch's global generator."""
    layer = getattr(model, part)
    assert isinstance(layer, nn.Linear)
    layer.weight.normal_(std=getattr(model.config, "initializer_range", 0.02))
    if layer.bias is not None:
        layer.bias.zero_()
