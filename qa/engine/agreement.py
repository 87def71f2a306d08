"""What processes that train one model must have in common: else each trains its own in silence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from qa.engine.batch import Batch
from qa.engine.distributed import World
from qa.engine.errors import first_few, require
from qa.engine.loss_terms import LOSS, LossFn, loss_and_terms

TOLERANCE = 1e-3  # of the norms of one gradient: CPUs round those of large weights otherwise
COMPARED = 3  # steps, since norms of other gradients may be that close by chance


class Agreement:
    """Checks that the processes exchange all gradients and add up the same terms.

    It costs a few messages in the first steps, and a look at names in the others. Alone, a process
    agrees with itself.

    Args:
        model: The model that exchanges gradients in its backward.
        world: The processes.
    """

    def __init__(self, model: nn.Module, world: World) -> None:
        self._model, self._world = model, world
        self._is_copied = isinstance(model, DistributedDataParallel)
        self._trained = trained_names(model)
        self._terms: list[str] | None = None
        self._left = COMPARED if self._is_copied else 0  # norms to compare

    def checked(self, loss_fn: LossFn) -> LossFn:
        """Return a `loss_fn` that raises UserError if its terms are not always the same.

        Processes add their terms up in one message, in which only the order tells them apart.
        """
        return loss_fn if self._world.size == 1 else partial(self._call, loss_fn)

    def _call(self, loss_fn: LossFn, model: nn.Module, batch: Batch) -> Any:
        returned = loss_fn(model, batch)
        names = sorted(name for name in loss_and_terms(returned) if name != LOSS)
        if self._terms is None:
            self._terms = names
            for others in self._world.from_main(self._world.gather(names)):
                require(
                    others == names,
                    f"loss_fn returned the terms {names} in one process and {others} in another;"
                    " all must return the same",
                )
        require(
            names == self._terms,
            f"loss_fn returned the terms {names} after {self._terms}; with several processes it"
            " must always return the same, e.g. 0 * loss for what a batch has not",
        )
        return returned

    def require_known(self) -> None:
        """Raise UserError, naming them, if other weights train than those of which DDP knows."""
        if not self._is_copied:
            return
        now = trained_names(self._model)
        thawed = [name for name in now if name not in self._trained]
        require(
            not thawed,
            f"{len(thawed)} weights train that did not when the run was made ({first_few(thawed)});"
            " several processes exchange the gradients of the others only: let them require a"
            " gradient when the run is made, and give them to an optimizer when they shall move",
        )
        frozen = [name for name in self._trained if name not in now]
        require(
            not frozen,
            f"{len(frozen)} weights were frozen since the run was made ({first_few(frozen)});"
            " several processes go on waiting for their gradients: set the lr of their group to 0"
            " instead, or freeze them before the run is made",
        )

    def require_exchanged(self, grad_norm: torch.Tensor) -> None:
        """Raise UserError unless all processes have the gradient of which this is the norm, ().

        Only in a run's first steps: the host waits for the device.
        """
        if not self._left:
            return
        norms: Sequence[float] = self._world.from_main(self._world.gather(float(grad_norm)))
        if not all(map(math.isfinite, norms)) or max(norms) == 0:
            return  # fp16 has skipped the step, or there was nothing to learn
        self._left -= 1
        require(
            max(norms) - min(norms) <= TOLERANCE * max(norms),
            f"the processes have exchanged no gradients: their norms are {min(norms):.4g} to"
            f" {max(norms):.4g}; loss_fn must call the model that it is given, model(...), and no"
            " part of it or other name for it",
        )


def trained_names(model: nn.Module) -> dict[str, None]:
    """Return the names of the weights that require a gradient, in order."""
    own = model.module if isinstance(model, DistributedDataParallel) else model
    return {name: None for name, weight in own.named_parameters() if weight.requires_grad}
