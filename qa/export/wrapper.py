"""What is exported: a span reader as a plain function of padded windows.

B: windows, T: tokens of the longest window, K: choices of a boundary head,
W: tokens of a pair head's widest answer.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from qa.engine.errors import require
from qa.models.span_reader import SpanReader

# Each has a test that compares its file with torch (tests/export/test_architectures.py). Of
# others nobody knows whether what the exporter traced holds for other lengths.
TESTED_TYPES = (
    *("albert", "bert", "deberta-v2", "distilbert", "electra"),
    *("mpnet", "roberta", "roformer", "xlm-roberta"),
)


class PaddedReader(nn.Module):
    """A span reader that takes what every ONNX runtime can give: matrices of padded windows."""

    def __init__(self, reader: SpanReader) -> None:
        super().__init__()
        self.reader = reader

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        num_characters: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Return start logits and end logits (B, T), trims (B, T, 2, K) and pairs (B, T, W).

        Logits are -inf behind a window's end; trims are those of `BoundaryHead` and pairs those of
        `PairHead`, each only if the reader has that head.

        Args:
            input_ids: (B, T), the padding token behind a window's end.
            attention_mask: (B, T), 1 at tokens and 0 behind a window's end.
            num_characters: (B, T) characters of the context that each token covers; only if there
                is one of these heads.
            token_type_ids: (B, T), only of a model that knows more than one type.
        """
        model = self.reader.model
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden = model.base_model(input_ids=input_ids, attention_mask=attention_mask, **types)[0]
        logits = hidden
        for part in self.reader.head:
            logits = getattr(model, part)(logits)
        logits = logits.masked_fill(attention_mask.unsqueeze(2) == 0, float("-inf"))
        found = [logits[..., 0], logits[..., 1]]
        if num_characters is None:
            return tuple(found)
        if self.reader.boundary_head is not None:
            embeddings = F.embedding(input_ids, model.get_input_embeddings().weight)
            trims = self.reader.boundary_head(
                hidden.flatten(0, 1), embeddings.flatten(0, 1), num_characters.flatten()
            )
            found.append(trims.unflatten(0, input_ids.shape))
        if self.reader.pair_head is not None:
            found.append(self.reader.pair_head(hidden, num_characters > 0))
        return tuple(found)


def require_exportable(reader: SpanReader) -> None:
    """Raise UserError unless the export of this kind of model is tested."""
    kind = reader.model.config.model_type
    require(
        kind in TESTED_TYPES,
        f"{type(reader.model).__name__}: the export of {kind} models is not tested; there are"
        f" {', '.join(TESTED_TYPES)}",
    )
