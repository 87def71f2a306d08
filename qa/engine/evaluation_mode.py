"""Evaluating a model in the middle of its training without changing the training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

from qa.engine.precision import Precision
from qa.engine.rng import rng_state, set_rng_state


@contextmanager
def evaluation_mode(
    model: nn.Module, precision: Precision, kernels: AbstractContextManager[None]
) -> Iterator[nn.Module]:
    """Yield the model for an evaluation in the context `kernels`; see `TrainingRun.evaluation`."""
    modes, generators = [(each, each.training) for each in model.modules()], rng_state()
    model.eval()
    try:
        # Not inference_mode: what a model computes once and keeps, e.g. a mask, could not be used
        # by a later step.
        with kernels, torch.no_grad(), precision.autocast(keeps_casts=False):
            yield model
    finally:
        for module, mode in modes:
            module.training = mode
        set_rng_state(generators)
