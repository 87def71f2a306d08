"""The training engine: steps, loop, precision, schedules, checkpoints, meters.

The engine knows nothing about the task: all it asks for is a model, a function
`loss_fn(model, batch)` that returns the summed loss, and an integer `batch["num_items"]`. It
imports only torch, numpy, tqdm and tensorboard, and imports them late, so that reading a
configuration stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qa.engine.batch_order import length_grouped_batches
    from qa.engine.best_tracker import BestTracker
    from qa.engine.checkpoint import (
        list_checkpoints,
        load_checkpoint,
        prune_checkpoints,
        save_checkpoint,
    )
    from qa.engine.config import TrainConfig
    from qa.engine.errors import UserError
    from qa.engine.loop import TrainingRun
    from qa.engine.meters import Mean, Rates
    from qa.engine.progress import progress_bar
    from qa.engine.rng import seed_everything
    from qa.engine.schedule import lr_factor
    from qa.engine.step import train_step
    from qa.engine.step_output import StepOutput
    from qa.engine.tensorboard import TensorBoard

_HOME = {  # the module in which each public name lives
    "BestTracker": "best_tracker",
    "Mean": "meters",
    "Rates": "meters",
    "StepOutput": "step_output",
    "TensorBoard": "tensorboard",
    "TrainConfig": "config",
    "TrainingRun": "loop",
    "UserError": "errors",
    "length_grouped_batches": "batch_order",
    "list_checkpoints": "checkpoint",
    "load_checkpoint": "checkpoint",
    "lr_factor": "schedule",
    "progress_bar": "progress",
    "prune_checkpoints": "checkpoint",
    "save_checkpoint": "checkpoint",
    "seed_everything": "rng",
    "train_step": "step",
}

__all__ = [
    "BestTracker",
    "Mean",
    "Rates",
    "StepOutput",
    "TensorBoard",
    "TrainConfig",
    "TrainingRun",
    "UserError",
    "length_grouped_batches",
    "list_checkpoints",
    "load_checkpoint",
    "lr_factor",
    "progress_bar",
    "prune_checkpoints",
    "save_checkpoint",
    "seed_everything",
    "train_step",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
