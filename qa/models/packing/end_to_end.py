"""The encoder over windows packed end to end.

N: tokens of all windows together, F: hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from qa.models.packing.segments import Segments
from qa.models.packing.trial import has_local_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def encode_packed(
    encoder: PreTrainedModel, inputs: Mapping[str, torch.Tensor], segments: Segments
) -> torch.Tensor:
    """Return the last hidden states, (N, F).

    Args:
        encoder: transformers' base model, with the attention of this package.
        inputs: Its inputs by name, (N,) each.
        segments: Where each window lies on the packed axis.
    """
    packed = {name: x.unsqueeze(0) for name, x in inputs.items()}
    masks = {}
    if has_local_layers(encoder.config):  # or masks of (N, N) are made for nothing
        masks["attention_mask"] = dict.fromkeys(encoder.config.layer_types)
    hidden: torch.Tensor = encoder(**packed, **masks, segments=segments)[0]
    return hidden[0]
