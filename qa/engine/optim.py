"""AdamW with weight decay on matrices only."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from qa.engine.errors import require


def make_optimizer(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    own_rates: Mapping[str, float] | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
) -> torch.optim.Optimizer:
    """Return an AdamW optimizer of the trainable parameters.

    Biases and norm weights (1-D) do not decay. Each parameter group holds, as `lr_scale`, its peak
    learning rate divided by `learning_rate`; `train_step` multiplies the rate of a step by it.

    The optimizer is fused where torch has a fused kernel: one pass over memory instead of one per
    operation, and no host sync inside `GradScaler.step`.

    Args:
        model: The model, on its final device.
        learning_rate: The peak learning rate.
        weight_decay: AdamW's decay of the matrices.
        own_rates: Peak learning rates by prefix of a parameter's name, used instead of
            `learning_rate`; of several prefixes that fit, the first one counts.
        betas: AdamW's decay of the mean gradient and of the mean squared gradient.
        epsilon: AdamW's addition to the denominator.

    Raises:
        UserError: No parameter's name begins with one of the prefixes.
    """
    own_rates = own_rates or {}
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
            scale = rates[0] / learning_rate if rates else 1.0
            decay = weight_decay if parameter.ndim >= 2 else 0.0
            by_kind.setdefault((scale, decay), []).append(parameter)
    groups = [
        {"params": parameters, "lr_scale": scale, "weight_decay": decay}
        for (scale, decay), parameters in by_kind.items()
    ]
    fused = all(p.device.type in ("cpu", "cuda") for group in by_kind.values() for p in group)
    return torch.optim.AdamW(
        groups, lr=learning_rate, betas=betas, eps=epsilon, fused=fused or None
    )
