"""Seeding, and the state of every random generator a run draws from."""

from __future__ import annotations

import random
from typing import Any, cast

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators (torch seeds all its devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """Return the state of all generators, in types that `torch.load(weights_only=True)` accepts."""
    name, keys, position, has_gauss, gauss = cast(tuple[Any, ...], np.random.get_state())
    return {
        "python": random.getstate(),
        # As a tensor, since torch.load refuses a numpy array.
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        # [] on a CPU, which other versions of qa have there too.
        "cuda": {index: torch.cuda.get_rng_state(index) for index in own_gpus()} or [],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Put every generator back to a state that `rng_state` returned, on whatever device it is."""
    random.setstate(state["python"])
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"].cpu())
    if state["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"].cpu())
    cuda = state["cuda"]
    if isinstance(cuda, list):  # older checkpoints have the states of all GPUs of the machine
        cuda = dict(enumerate(cuda))
    own = own_gpus()
    if len(cuda) == len(own) == 1:  # perhaps another GPU now than before
        cuda = dict.fromkeys(own, *cuda.values())
    for index in own:
        if index in cuda:
            torch.cuda.set_rng_state(cuda[index].cpu(), index)


def own_gpus() -> list[int]:
    """Return the GPUs on which this process has tensors; a run draws on no others."""
    return [i for i in range(torch.cuda.device_count()) if torch.cuda.memory_reserved(i)]
