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

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def model_state(model: nn.Module) -> dict[str, Any]:
    """Weights by name. Of a sharded model the main process gets all, in host memory."""
    if isinstance(model, FSDPModule):
        return get_model_state_dict(model, options=WHOLE)
    return model.state_dict()


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What the optimizer has gathered; likewise."""
    if isinstance(model, FSDPModule):
        return get_optimizer_state_dict(model, optimizer, options=WHOLE)
    return optimizer.state_dict()


def load_state(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    weights: dict[str, Any],
    moments: dict[str, Any],
) -> None:
    """Load what `model_state` and `optimizer_state` returned, given whole to every process."""
    if isinstance(model, FSDPModule):
        set_model_state_dict(model, weights, options=WHOLE)
        set_optimizer_state_dict(model, optimizer, moments, options=WHOLE)
        return
    model.load_state_dict(weights)
    load_moments(optimizer, moments)


def load_moments(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Restore what the optimizer has gathered; its settings stay those of this run."""
    current = optimizer.state_dict()["param_groups"]
    groups = [
        # The rate is no setting here: every step sets it.
        {**now, "params": then["params"], "lr": then["lr"]}
        for now, then in zip(current, saved["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})
