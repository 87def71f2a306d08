"""What differs between two finished runs, compared bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qa.outputs.directory import BEST, CHECKPOINTS, METRICS_FILE, TENSORBOARD
from qa.outputs.prediction_files import NBEST_FILE, PREDICTIONS_FILE


def differences(first: Path, second: Path) -> Iterator[str]:
    """Yield what differs between the directories of two finished runs, each as a phrase."""
    from qa.engine.checkpoint import list_checkpoints, load_checkpoint

    names = [[p.name for p in list_checkpoints(d / CHECKPOINTS)] for d in (first, second)]
    if names[0] != names[1]:
        yield f"checkpoints {names[0]} and {names[1]}"
        return
    for name in names[0]:
        states = [load_checkpoint(d / CHECKPOINTS / name) for d in (first, second)]
        yield from state_differences(states[0], states[1], name)
    curves = [read_curves(d / TENSORBOARD) for d in (first, second)]
    yield from state_differences(curves[0], curves[1], "curves")
    for file in (METRICS_FILE, PREDICTIONS_FILE, NBEST_FILE, f"{BEST}/model.safetensors"):
        contents = [
            (d / file).read_bytes() if (d / file).exists() else b"" for d in (first, second)
        ]
        if contents[0] != contents[1]:
            yield f"the content of {file}"


def state_differences(first: Any, second: Any, where: str) -> Iterator[str]:
    """Yield where two nested states differ; tensors and numbers are compared bit for bit.

    `where`: the name of the state, for the phrases.
    """
    import torch

    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        if first.dtype != second.dtype or not torch.equal(
            first.contiguous().view(-1).view(torch.uint8),
            second.contiguous().view(-1).view(torch.uint8),
        ):
            yield f"tensor {where}"
    elif isinstance(first, dict) and isinstance(second, dict):
        if first.keys() != second.keys():
            yield f"names in {where}: {sorted(map(str, first.keys() ^ second.keys()))}"
        for key in first.keys() & second.keys():
            yield from state_differences(first[key], second[key], f"{where}/{key}")
    elif isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        if len(first) != len(second):
            yield f"{where} has {len(first)} and {len(second)} entries"
        for i, (a, b) in enumerate(zip(first, second, strict=False)):
            yield from state_differences(a, b, f"{where}[{i}]")
    elif repr(first) != repr(second):  # repr: a nan equals itself, and -0.0 is not 0.0
        yield f"{where}: {first} and {second}"


def read_curves(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Read every curve as (step, value) points, except those that measure time."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("speed/")]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in sorted(tags)}
