"""A generative reader learns to copy what it has never seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.writing import Window, collate, make_window, read

from qa.models.generative.free import write_freely
from qa.models.generative.loss import generative_loss
from qa.models.generative.reader import GenerativeReader
from qa.models.generative.search import search

pytestmark = [pytest.mark.usefixtures("one_thread")]
MARK, FILLERS, NAMES = 5, range(8, 20), range(20, 400)
SIZES: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 32,
    "embedding_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0,
    "attention_probs_dropout_prob": 0,
}


def make_texts(rng: np.random.Generator, names: range, count: int) -> list[Window]:
    """Windows with two names of two tokens each, the one behind the mark being the answer."""
    windows = []
    for _ in range(count):
        first, second = rng.choice(names, (2, 2), replace=False).tolist()
        before, between, after = (
            rng.choice(FILLERS, rng.integers(1, 4)).tolist() for _ in range(3)
        )
        if rng.random() < 0.5:
            ids, start = [*before, MARK, *first, *between, *second, *after], len(before) + 1
        else:
            start = len(before) + 2 + len(between) + 1
            ids = [*before, *first, *between, MARK, *second, *after]
        windows.append(make_window(ids, (start, start + 1)))
    return windows


def test_it_copies_names_that_it_has_never_seen() -> None:
    """Free and constrained. No token of these names was in a text or a target of the training."""
    from transformers import RoFormerConfig

    rng = np.random.default_rng(0)
    seen, unseen = NAMES[: len(NAMES) // 2], NAMES[len(NAMES) // 2 :]
    torch.manual_seed(0)
    reader = GenerativeReader.from_config(RoFormerConfig(**SIZES), decoder_layers=1).train()
    optimizer = torch.optim.AdamW(reader.parameters(), lr=5e-3)
    for step in range(80):
        optimizer.param_groups[0]["lr"] = 5e-3 * min(1, (step + 1) / 20) * (1 - step / 80)
        batch = collate(reader, make_texts(rng, seen, 16))
        loss = generative_loss(reader, batch) / batch["num_items"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    reader.eval()
    windows = make_texts(rng, unseen, 50)
    with torch.no_grad():
        reading = read(reader, windows)
        masks = reading.input_ids, reading.in_context, reading.covers
        free = write_freely(reader.writer(reading), *masks, 3)
        found = search(reader.writer(reading), *masks, 1, 3)
    golds = [(window["start_position"], window["end_position"]) for window in windows]
    by_place = list(zip(found.starts[:, 0].tolist(), found.ends[:, 0].tolist(), strict=True))
    right = sum(place == gold for place, gold in zip(by_place, golds, strict=True))
    texts = [
        window["input_ids"][start : end + 1].tolist()
        for window, (start, end) in zip(windows, golds, strict=True)
    ]
    written = [[i for i in row if i >= 0] for row in free.token_ids.tolist()]
    copied = sum(text == gold for text, gold in zip(written, texts, strict=True))
    assert min(right, copied) > 40, (right, copied)
