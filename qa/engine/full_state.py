"""Weights and optimizer state, whole, whether a process holds all of them or a part (FSDP2)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
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

from qa.engine.errors import first_few, require
from qa.engine.optim import parameters_of
from qa.engine.saved_groups import with_own_settings

# Not strict: what may be missing of a checkpoint is checked before it is loaded.
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)


def model_state(model: nn.Module, trainable_only: bool = False) -> dict[str, Any]:
    """Return the weights by name, without the frozen ones if only what trains is wanted.

    All processes must call this. Of a sharded model the main process gets all weights, in host
    memory, and the others get none.
    """
    is_sharded = isinstance(model, FSDPModule)
    # torch's own dict, which also tells the versions of the modules.
    weights = get_model_state_dict(model, options=WHOLE) if is_sharded else model.state_dict()
    for name in frozen_names(model) if trainable_only else ():
        weights.pop(name, None)
    return weights


def frozen_names(model: nn.Module) -> set[str]:
    """Return the names of the parameters that do not train; of a tied one all of them."""
    named = model.named_parameters(remove_duplicate=False)
    return {name for name, parameter in named if not parameter.requires_grad}


def optimizer_state(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> Any:
    """Return the state of the optimizer, e.g. AdamW's moments; a list of several optimizers'.

    As with `model_state`, all processes must call this, and of a sharded model the main process
    gets all of it.
    """
    states = [
        get_optimizer_state_dict(model, each, options=WHOLE)
        if isinstance(model, FSDPModule)
        else each.state_dict()
        for each in optimizers
    ]
    return states if len(states) > 1 else states[0]


def states_to_load(
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    weights: dict[str, Any],
    saved: Any,
) -> list[dict[str, Any]]:
    """Return each optimizer's state as this run goes on from it; nothing is changed yet.

    `weights` and `saved` are what `model_state` and `optimizer_state` returned in the main process;
    frozen parameters may be missing. UserError if they are of another model or other optimizers.
    """
    require_same_model(model, weights, may_lack=frozen_names(model))
    states = saved if isinstance(saved, list) else [saved]
    require(
        len(states) == len(optimizers),
        f"the checkpoint is of {len(states)} optimizers, this run has {len(optimizers)}",
    )
    return [with_own_settings(o, state) for o, state in zip(optimizers, states, strict=True)]


def load_state(
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    weights: dict[str, Any],
    states: Sequence[dict[str, Any]],
) -> None:
    """Load what `states_to_load` has checked; all processes must call this, with the same."""
    if isinstance(model, FSDPModule):
        missing, _ = set_model_state_dict(model, weights, options=WHOLE) or ((), ())
        require_loaded(model, missing)
        for optimizer, state in zip(optimizers, states, strict=True):
            set_optimizer_state_dict(model, optimizer, state, options=WHOLE)
        return
    load_weights(model, weights)
    named = model.named_parameters()
    dtypes: dict[torch.Tensor, torch.dtype] = {
        p: weights[n].dtype for n, p in named if n in weights
    }
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict(state)
        take_over(optimizer, state, dtypes)


def load_weights(model: nn.Module, weights: Mapping[str, Any]) -> None:
    """Load weights of the model's own names; UserError if a module does not take some of them.

    With the versions of its modules, by which some change what older releases saved. Checkpoints
    from before these were saved have the names of today, so that they are taken to be of today.
    """
    own = OrderedDict(weights)
    versions = getattr(weights, "_metadata", None) or getattr(model.state_dict(), "_metadata", {})
    own._metadata = versions  # type: ignore[attr-defined]
    # Not what nobody asked for: quantised layers save more than they ask for. A model of one's own
    # may return nothing.
    missing, _ = model.load_state_dict(own, strict=False) or ((), ())
    require_loaded(model, missing)


def require_loaded(model: nn.Module, missing: Collection[str]) -> None:
    """Raise UserError, naming them, if weights that train were not loaded from a checkpoint."""
    lost = sorted(set(missing) - frozen_names(model))
    require(
        not lost,
        f"{len(lost)} weights of the checkpoint were not loaded ({first_few(lost)}): the model"
        " renames or drops them in its load_state_dict",
    )


def take_over(
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    dtypes: Mapping[torch.Tensor, torch.dtype],
) -> None:
    """Give an optimizer its own copies of a state's tensors, in the format in which it keeps them.

    torch shares them, and casts all to the format of the weight: also moments that an optimizer
    keeps in fp32 beside weights in bf16, and counters.

    Args:
        optimizer: Has loaded the state.
        state: What it has loaded, which stays as it is.
        dtypes: The formats of the weights when the state was saved.
    """
    saved_as = [index for group in state["param_groups"] for index in group["params"]]
    indices = dict(zip(parameters_of([optimizer]), saved_as, strict=True))
    for key, own in list(optimizer.state.items()):  # a parameter, or whatever an optimizer likes
        saved = state["state"].get(indices.get(key, key))
        dtype = dtypes.get(key, getattr(key, "dtype", None))
        optimizer.state[key] = own_copy(own, saved, dtype)


def own_copy(value: Any, saved: Any, dtype: torch.dtype | None) -> Any:
    """Return what a loaded optimizer keeps, copied where it shares a tensor with what was saved.

    In the saved format, unless that was `dtype`, the format of the weight, if there is one; in
    lists and dicts, too.
    """
    if isinstance(value, torch.Tensor) and isinstance(saved, torch.Tensor):
        if saved.dtype not in (value.dtype, dtype):
            return saved.to(value.device, copy=True)
        return value.clone() if value is saved else value
    if isinstance(value, dict) and isinstance(saved, dict):
        return {name: own_copy(each, saved.get(name), dtype) for name, each in value.items()}
    if type(value) in (list, tuple) and type(saved) in (list, tuple) and len(value) == len(saved):
        pairs = zip(value, saved, strict=True)
        return type(value)(own_copy(*pair, dtype) for pair in pairs)
    return value


def require_same_model(
    model: nn.Module, saved: dict[str, Any], may_lack: Collection[str] = ()
) -> None:
    """Raise UserError, naming the first difference, unless names and shapes agree.

    Names of the model that are in `may_lack` may be missing in `saved`.
    """
    current, other = (  # a module's extra state may be no tensor
        {name: tuple(getattr(value, "shape", ())) for name, value in state.items()}
        for state in (model.state_dict(), saved)
    )
    for name in sorted(current.keys() | other.keys()):
        require(
            current.get(name) == other.get(name) or (name in may_lack and name not in other),
            f"the checkpoint is of another model: {name} is {other.get(name, 'absent')} there and"
            f" {current.get(name, 'absent')} here; resume with the model it was made with",
        )
