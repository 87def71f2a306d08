"""Weights and optimizer state, whole, whether a process holds all of them or a part (FSDP2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule

from qa.engine.errors import require

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def model_state(model: nn.Module) -> dict[str, Any]:
    """Return the weights by name.

    All processes must call this. Of a sharded model the main process gets all weights, in host
    memory, and the others get none.
    """
    if isinstance(model, FSDPModule):
        return get_model_state_dict(model, options=WHOLE)
    return model.state_dict()


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the optimizer's state, e.g. AdamW's moments, and its settings.

    As with `model_state`, all processes must call this, and of a sharded model the main process
    gets all of it.
    """
    if isinstance(model, FSDPModule):
        return get_optimizer_state_dict(model, optimizer, options=WHOLE)
    return optimizer.state_dict()


def load_state(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    weights: dict[str, Any],
    moments: dict[str, Any],
) -> None:
    """Load the whole state into a model and its optimizer; all processes must call this.

    Args:
        model: The model, possibly sharded.
        optimizer: The optimizer of that model's parameters.
        weights: What `model_state` returned in the main process; given to every process.
        moments: What `optimizer_state` returned in the main process; given to every process.
    """
    if isinstance(model, FSDPModule):
        set_model_state_dict(model, weights, options=WHOLE)
        set_optimizer_state_dict(model, optimizer, moments, options=WHOLE)
        return
    model.load_state_dict(weights)
    load_moments(optimizer, moments)


def load_moments(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Restore the optimizer's state; its settings, such as weight decay, stay those of this run."""
    current = optimizer.state_dict()["param_groups"]
    groups = [
        # Every step sets the rate, so it counts as state and not as a setting.
        {**now, "params": then["params"], "lr": then["lr"]}
        for now, then in zip(current, saved["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})


def require_same_model(model: nn.Module, saved: dict[str, torch.Tensor]) -> None:
    """Raise UserError, naming the first difference, unless names and shapes agree."""
    current = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    other = {name: tuple(value.shape) for name, value in saved.items()}
    for name in sorted(current.keys() | other.keys()):
        require(
            current.get(name) == other.get(name),
            f"the checkpoint is of another model: {name} is {other.get(name, 'absent')} there and"
            f" {current.get(name, 'absent')} here; resume with the model it was made with",
        )
