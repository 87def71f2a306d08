"""Evaluating a model in the middle of its training without changing the training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

from qa.engine.modes import evaluating
from qa.engine.precision import Precision
from qa.engine.rng import rng_state, set_rng_state


@contextmanager
def evaluation_mode(
    model: nn.Module, precision: Precision, kernels: AbstractContextManager[None]
) -> Iterator[nn.Module]:
    """Yield the model for an evaluation in the context `kernels`; see `TrainingRun.evaluation`."""
    generators = rng_state()
    try:
        # Not inference_mode: what a model computes once and keeps, e.g. a mask, could not be used
        # by a later step.
        casts = precision.autocast(keeps_casts=False)
        with evaluating(model), kernels, torch.no_grad(), casts:
            yield model
    finally:
        set_rng_state(generators)
