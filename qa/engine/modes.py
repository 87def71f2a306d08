"""The modes of a model's parts: kept where it is only tried, and told of where they are changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from qa.engine.errors import first_few, notice

MATTERS = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
"""Modules that compute something else in eval mode"""


@contextmanager
def kept_modes(model: nn.Module) -> Iterator[None]:
    """Behind the context every part of the model is in the mode in which it was before.

    `model.train(was_training)` would put all parts into that of the model.
    """
    modes = [(each, each.training) for each in model.modules()]
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Keep a model in eval mode inside the context."""
    with kept_modes(model):
        model.eval()
        yield


def notice_of_modes(model: nn.Module) -> None:
    """Say which frozen parts are in eval mode, in which a run that is made does not leave them."""
    found: list[str] = []
    for name, part in model.named_modules():
        weights = list(part.parameters())
        is_meant = not part.training and weights and not any(w.requires_grad for w in weights)
        if is_meant and any(isinstance(each, MATTERS) for each in part.modules()):
            found.append(name or "the model")
    if found:
        notice(
            f"frozen parts in eval mode are put into training mode ({first_few(found)}); what is"
            " put into eval mode after the run is made stays in it"
        )
