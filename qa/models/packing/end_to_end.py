"""The encoder over windows packed end to end.

N: tokens of all windows together, F: hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from qa.models.packing.segments import ROUND_TOTAL, Segments, round_coarsely, round_up
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
    # Some extra tokens, which no window holds, so that fewer shapes occur. Training cannot choose
    # what a batch holds; evaluation fills its batches.
    total = len(inputs["input_ids"])
    rounded = round_up(total, ROUND_TOTAL) if encoder.training else round_coarsely(total)
    extra = rounded - total
    padded = {name: F.pad(x, (0, extra)).unsqueeze(0) for name, x in inputs.items()}
    masks = {}
    if has_local_layers(encoder.config):  # or masks of (N, N) are made for nothing
        masks["attention_mask"] = dict.fromkeys(encoder.config.layer_types)
    packed: torch.Tensor = encoder(**padded, **masks, segments=segments)[0]
    return packed[0, :total]
