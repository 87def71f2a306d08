"""The optimizers of a run: AdamW by default, or any others; their rates and their state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer

from qa.engine.config import TrainConfig
from qa.engine.errors import first_few, notice, require, type_name

MakeOptimizer: TypeAlias = Callable[[nn.Module], "Optimizer | Sequence[Optimizer]"]
"""Returns one optimizer or several of a model's parameters; a group's `lr` is its peak rate."""

# What a run decides besides the peak rate, if its optimizer has it.
DECIDED = ("weight_decay", "betas", "eps", "momentum")


def adamw(
    model: nn.Module, config: TrainConfig, learning_rates: Mapping[str, float] | None = None
) -> Optimizer:
    """Return AdamW with the settings of `config` for the trainable parameters.

    Biases and norm weights (1-D) do not decay. The optimizer is fused where torch has a fused
    kernel: one pass over memory instead of one per operation, and no host sync inside
    `GradScaler.step`.

    Args:
        model: The model, on its final device.
        config: Where the peak learning rate, the decay of the matrices, betas and epsilon are.
        learning_rates: Peak learning rates by prefix of a parameter's name, e.g. a new head's, used
            instead of the configured one; of several prefixes that fit, the first one counts.

    Raises:
        UserError: No parameter's name begins with one of the prefixes.
    """
    own_rates = learning_rates or {}
    names = [name for name, _ in model.named_parameters()]
    for prefix in own_rates:
        require(
            any(name.startswith(prefix) for name in names),
            f"learning_rates: no parameter's name begins with {prefix!r}, e.g. {names[0]} does not",
        )
    by_kind: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rates = [rate for prefix, rate in own_rates.items() if name.startswith(prefix)]
            decay = config.weight_decay if parameter.ndim >= 2 else 0.0
            by_kind.setdefault(((rates or [config.learning_rate])[0], decay), []).append(parameter)
    require(by_kind, "there is nothing to train: no parameter of the model requires a gradient")
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in by_kind.items()
        ],
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        fused=all(
            p.device.type in ("cpu", "cuda") and p.is_floating_point()
            for group in by_kind.values()
            for p in group
        )
        or None,
    )


def make_optimizers(make: MakeOptimizer, model: nn.Module) -> list[Optimizer]:
    """Return the optimizers of a model, or raise UserError; give notice of what none has."""
    require(callable(make), f"optimizer must be a function of the model, not {type_name(make)}")
    made = make(model)
    optimizers = list(made) if isinstance(made, Sequence) else [made]
    require(optimizers, "optimizer returned none; it must return one or several")
    for each in optimizers:
        require(
            isinstance(each, Optimizer),
            f"optimizer must return one or several of torch's optimizers, not {type_name(each)}",
        )
        closure = signature(each.step).parameters.get("closure")
        require(
            closure is None or closure.default is not Parameter.empty,
            f"{type_name(each)} needs a closure, to evaluate a step's loss again and again; the"
            " engine evaluates it once",
        )
    owned = [id(parameter) for parameter in parameters_of(optimizers)]
    require(len(set(owned)) == len(owned), "two optimizers have the same parameter")
    others = set(owned) - {id(parameter) for parameter in model.parameters()}
    require(
        not others,
        f"an optimizer has {len(others)} parameters that the model has not, so that no checkpoint"
        " would hold them; make them a part of the model",
    )
    left = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in set(owned)]
    if left:
        notice(f"{len(left)} parameters are trainable, but in no optimizer: {first_few(left)}")
    note_peaks(optimizers)
    return optimizers


def groups_of(optimizers: Sequence[Optimizer]) -> list[dict[str, Any]]:
    """Return the parameter groups of all optimizers."""
    return [group for optimizer in optimizers for group in optimizer.param_groups]


def parameters_of(optimizers: Sequence[Optimizer]) -> list[torch.Tensor]:
    """Return the parameters of all optimizers."""
    return [parameter for group in groups_of(optimizers) for parameter in group["params"]]


def owned_parameters(
    parameters: Sequence[torch.Tensor], optimizers: Sequence[Optimizer]
) -> list[torch.Tensor]:
    """Return those of the model's parameters that optimizers have, then what else they have.

    The order decides how a norm over all of them is rounded.
    """
    owned = {id(parameter): parameter for parameter in parameters_of(optimizers)}
    return [owned.pop(id(p)) for p in parameters if id(p) in owned] + [*owned.values()]


def clear_gradients(parameters: Iterable[torch.Tensor]) -> None:
    """Drop the gradients of these parameters."""
    for parameter in parameters:
        parameter.grad = None


def note_peaks(optimizers: Sequence[Optimizer]) -> None:
    """Note the `lr` of each group as its peak, as torch's schedulers name it, and `DECIDED`."""
    for group in groups_of(optimizers):
        for name in ("lr", "weight_decay"):
            group.setdefault(f"initial_{name}", group.get(name))
        for name in DECIDED:
            if name in group:
                group.setdefault(f"initial_{name}", group[name])


def set_rates(optimizers: Sequence[Optimizer], factor: float) -> None:
    """Set the rate of each group to its peak times a factor; one that has none has none."""
    for group in groups_of(optimizers):
        if "initial_lr" not in group:  # it was added since
            note_peaks(optimizers)
        if group["initial_lr"] is not None:
            group["lr"] = group["initial_lr"] * float(factor)  # of numpy's numbers, too


def first_rate(optimizers: Sequence[Optimizer], name: str) -> float:
    """Return the `lr` or `initial_lr` of the first group, nan if it has none, e.g. Adafactor's."""
    rate = optimizers[0].param_groups[0].get(name)
    return math.nan if rate is None else rate
