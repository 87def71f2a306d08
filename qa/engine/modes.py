"""Parts of a model whose training mode may not be what a person thinks."""

from __future__ import annotations

from torch import nn

from qa.engine.errors import first_few, notice

MATTERS = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
"""Modules that compute something else in eval mode"""


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
