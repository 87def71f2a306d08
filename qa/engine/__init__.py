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
        load_newest_checkpoint,
        prune_checkpoints,
        save_checkpoint,
    )
    from qa.engine.checkpoint_writer import CheckpointWriter
    from qa.engine.config import TrainConfig
    from qa.engine.device import resolve_device
    from qa.engine.distributed import World, join_world
    from qa.engine.errors import Notice, RunStopped, UserError
    from qa.engine.lock import RunLock
    from qa.engine.loop import TrainingRun
    from qa.engine.meters import Mean, Rates
    from qa.engine.nonfinite import NonfiniteCheck
    from qa.engine.optim import adamw
    from qa.engine.precision import Precision
    from qa.engine.progress import progress_bar
    from qa.engine.rng import seed_everything
    from qa.engine.schedule import lr_factor
    from qa.engine.signals import StopSignals, ignore_stop_signals
    from qa.engine.split_check import check_split
    from qa.engine.step import train_step
    from qa.engine.step_output import StepOutput
    from qa.engine.step_trace import StepTrace
    from qa.engine.tensorboard import TensorBoard

_NAMES = {  # the public names of each module
    "batch_order": "length_grouped_batches", "best_tracker": "BestTracker",
    "checkpoint": "list_checkpoints load_checkpoint load_newest_checkpoint prune_checkpoints"
    " save_checkpoint",
    "checkpoint_writer": "CheckpointWriter", "config": "TrainConfig", "device": "resolve_device",
    "distributed": "World join_world", "errors": "Notice RunStopped UserError", "lock": "RunLock",
    "loop": "TrainingRun", "meters": "Mean Rates", "nonfinite": "NonfiniteCheck", "optim": "adamw",
    "precision": "Precision", "progress": "progress_bar", "rng": "seed_everything",
    "schedule": "lr_factor", "signals": "StopSignals ignore_stop_signals",
    "split_check": "check_split", "step": "train_step", "step_output": "StepOutput",
    "step_trace": "StepTrace",
    "tensorboard": "TensorBoard",
}  # fmt: skip
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "BestTracker", "CheckpointWriter", "Mean", "NonfiniteCheck", "Notice", "Precision", "Rates",
    "RunLock", "RunStopped", "StepOutput", "StepTrace", "StopSignals", "TensorBoard",
    "TrainConfig", "TrainingRun", "UserError", "World", "adamw", "check_split",
    "ignore_stop_signals", "join_world", "length_grouped_batches", "list_checkpoints",
    "load_checkpoint", "load_newest_checkpoint", "lr_factor", "progress_bar", "prune_checkpoints",
    "resolve_device", "save_checkpoint", "seed_everything", "train_step",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
