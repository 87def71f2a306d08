"""Texts as vectors: the mean of what an encoder of transformers says of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import torch

from qa.models.pretrained import check_directory, load_tokenizer, revision_of, user_errors

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

MOST_TOKENS = 512
BATCH = 16  # texts at a time


class Encoder:
    """Makes vectors of texts, on the CPU and in fp32, so that they are the same everywhere.

    Args:
        name: Directory or hub id of any encoder.
    """

    def __init__(self, name: str) -> None:
        from transformers import AutoModel

        check_directory(name)
        revision = revision_of(name)
        self.tokenizer = load_tokenizer(name, revision)
        with user_errors(name):
            self.model = AutoModel.from_pretrained(name, revision=revision, dtype=torch.float32)
        self.model.eval()
        places = getattr(self.model.config, "max_position_embeddings", MOST_TOKENS)
        self.most_tokens = min(MOST_TOKENS, places, self.tokenizer.model_max_length)

    def encode(self, texts: Sequence[str]) -> NDArray[float32]:
        """Return a vector of length 1 for each text, (texts, dimensions); long ones are cut off."""
        vectors = torch.empty(len(texts), self.model.config.hidden_size)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding
        for start in range(0, len(texts), BATCH):
            places = order[start : start + BATCH]
            vectors[places] = self._encode([texts[i] for i in places])
        return cast("NDArray[float32]", vectors.numpy())

    def _encode(self, texts: list[str]) -> torch.Tensor:
        """Return the vectors of one batch."""
        tokens = self.tokenizer(
            texts,
            truncation=True,
            max_length=self.most_tokens,
            padding=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            states = self.model(**tokens).last_hidden_state
        # The mean over a text's own tokens: padding has weight 0.
        weights = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        means = (states * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(means, dim=-1)


class LazyEncoder:
    """An `Encoder` that is loaded when the first text comes, from then on the same for all legs."""

    def __init__(self, name: str, sample: str = "") -> None:
        self.name = name
        self.sample = sample  # differs once the model was trained again in its place

    def encode(self, texts: Sequence[str]) -> NDArray[float32]:
        """Return the vectors of texts, as `Encoder.encode` does."""
        return _loaded(self.name, self.sample).encode(texts)


@lru_cache(maxsize=1)
def _loaded(name: str, sample: str) -> Encoder:
    """Return the encoder; `sample` tells apart what had the same name."""
    return Encoder(name)
