"""The parameter groups of a saved optimizer, as a run goes on from them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from inspect import signature
from typing import Any

import torch
from torch.optim import Optimizer

from qa.engine.errors import require
from qa.engine.optim import DECIDED, note_peaks

# How a step is computed, not what it computes; the machine that resumes decides.
COMPUTING = ("fused", "foreach", "capturable", "differentiable")


def with_own_settings(optimizer: Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
    """Return a saved state as this run goes on from it.

    Groups are restored whole, since some optimizers keep counters there. What this run decides are
    the peak rate, those of `DECIDED` that were changed between the runs, and how a step is
    computed. Raise UserError if the state is of another kind of optimizer, or not of as many groups
    of as many parameters.
    """
    note_peaks([optimizer])
    groups = []
    pair = optimizer.param_groups, saved["param_groups"]
    sizes, other = ([len(group["params"]) for group in each] for each in pair)
    require(
        sizes == other,
        f"the checkpoint is of another optimizer: its groups have {other} parameters, those of this"
        f" run's {type(optimizer).__name__} {sizes}; resume with the optimizer it was made with",
    )
    for now, then in zip(*pair, strict=True):
        lacking = require_same_kind(optimizer, now, then)
        kept = ("initial_lr", *(f"initial_{name}" for name in DECIDED), *COMPUTING)
        own = {name: now[name] for name in kept if name in now}
        for name in DECIDED:
            initial = f"initial_{name}"
            # Older checkpoints do not tell the others.
            told = then.get(initial, None if name == "weight_decay" else now.get(initial))
            if name in now and now.get(initial) != told:
                own[name] = now[name]
        groups.append({**{name: now[name] for name in lacking}, **then, **own})
        if "initial_lr" not in then:  # older checkpoints have this instead of the peak
            groups[-1].pop("lr_scale", None)
    return {**saved, "param_groups": groups}


def require_same_kind(
    optimizer: Optimizer, now: Mapping[str, Any], then: Mapping[str, Any]
) -> set[str]:
    """Return the settings that a saved group lacks, as an older release of the optimizer may.

    Raise UserError if it has others instead, or several more or less, so that it is of another
    optimizer. A name that a person has added to a group says nothing, unless several of the
    optimizer's own are missing.

    Args:
        optimizer: The run's.
        now: One of its groups.
        then: The group as it was saved.
    """
    own = now.keys() & optimizer.defaults.keys()
    lacking = {name for name in own - then.keys() if name not in COMPUTING}
    left_out = {"lr_scale", *COMPUTING, *(f"initial_{name}" for name in ("lr", *DECIDED))}
    others = then.keys() - now.keys() - left_out
    known = known_settings()
    is_other = lacking & known and others & known or len(lacking) > 1 and others
    require(
        not is_other and len(lacking & known) < 2 and len(others & known) < 2,
        f"the checkpoint is of another optimizer than this run's {type(optimizer).__name__}: it"
        f" has {', '.join(sorted(others)) or 'nothing'} instead of"
        f" {', '.join(sorted(lacking)) or 'nothing'}; resume with the optimizer it was made with",
    )
    return lacking


@cache
def known_settings() -> set[str]:
    """Return the names of all settings of torch's optimizers."""
    kinds = [each for each in vars(torch.optim).values() if isinstance(each, type)]
    return {name for kind in kinds for name in signature(kind).parameters} - {"params"}
