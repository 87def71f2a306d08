"""A tiny regression with dropout, for tests of the loop that are not about any real task."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from qa.engine import TrainConfig, TrainingRun, seed_everything

ITEMS = 13
BATCH_SIZE = 2
MICRO_BATCHES = 7  # of an epoch: six full ones and a shorter one


def make_model(width: int = 8) -> nn.Module:
    """A network with dropout and a norm."""
    return nn.Sequential(
        nn.Linear(4, width), nn.Dropout(0.3), nn.LayerNorm(width), nn.Tanh(), nn.Linear(width, 1)
    )


def order(epoch: int) -> list[list[int]]:
    """Another shuffle of the items in every epoch."""
    shuffled = np.random.default_rng([5, epoch]).permutation(ITEMS).tolist()
    return [shuffled[i : i + BATCH_SIZE] for i in range(0, ITEMS, BATCH_SIZE)]


def make_dataset() -> list[torch.Tensor]:
    """Items of four inputs and a target."""
    return list(torch.randn(ITEMS, 5, generator=torch.Generator().manual_seed(1)))


def collate(items: list[torch.Tensor]) -> dict[str, Any]:
    """A batch of items."""
    rows = torch.stack(items)
    return {"x": rows[:, :4], "y": rows[:, 4], "num_items": len(items), "num_values": rows.numel()}


def squared_error(model: nn.Module, batch: Any) -> torch.Tensor:
    """The summed loss of a batch."""
    errors: torch.Tensor = model(batch["x"]).squeeze(-1) - batch["y"]
    return (errors**2).sum()


def make_run(model_seed: int = 0, collate_fn: Any = collate, **settings: Any) -> TrainingRun:
    """A run on the CPU in fp32; `settings` are fields of its configuration."""
    seed_everything(model_seed)
    values = {"precision": "fp32", "device": "cpu", "learning_rate": 0.05, **settings}
    return TrainingRun(
        make_model(), squared_error, make_dataset(), order, collate_fn, TrainConfig(**values)
    )
