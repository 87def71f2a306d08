"""What differs between two finished runs, bit for bit: their checkpoints and their curves."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from qa.engine.checkpoint import SUMMARY_FILE, load_checkpoint
from qa.engine.curve_lines import read_lines

TIMES = ("speed/",)  # how the names of curves begin that measure time, and so always differ

Curves = dict[str, dict[int, list[str]]]  # the values at each step of each curve, as texts


def run_differences(first: Path, second: Path, times: Collection[str] = TIMES) -> Iterator[str]:
    """Yield what differs between the directories of two runs, each as a phrase.

    Checkpoints come first, the oldest one that differs, and in it plain values: a counter that
    differs is a cause, a weight a consequence. Then come the first points of curves that differ.

    Args:
        first: The directory of a run, with checkpoints and curves anywhere in it.
        second: That of another one.
        times: Beginnings of the names of curves that are not compared.
    """
    yield from checkpoint_differences(first, second)
    yield from curve_differences(first, second, times)


def checkpoint_differences(first: Path, second: Path) -> Iterator[str]:
    """Yield what differs in the oldest of the common checkpoints that differs at all."""
    a, b = checkpoints_in(first), checkpoints_in(second)
    if [*a][-1:] != [*b][-1:]:
        yield f"checkpoints {[*a]} and {[*b]}"
    for name in [each for each in a if each in b]:
        found = list(state_differences(load_checkpoint(a[name]), load_checkpoint(b[name]), name))
        if found:
            yield from sorted(found, key=lambda phrase: phrase.startswith("tensor "))
            return


def checkpoints_in(directory: Path) -> dict[str, Path]:
    """Return the whole checkpoints by their places in a directory, the oldest step first."""
    found = checkpoints_among(files_in(directory))
    return {str(path.relative_to(directory)): path for path in sorted(found, key=step_of)}


def checkpoints_among(files: Iterable[Path]) -> list[Path]:
    """Return the folders of whole checkpoints among which these files are."""
    found = [path.parent for path in files if path.name == SUMMARY_FILE]
    return [path for path in found if path.name.startswith("step-")]


def step_of(checkpoint: Path) -> int:
    """Return the step that a checkpoint is named after."""
    return int(checkpoint.name.removeprefix("step-"))


def files_in(directory: Path) -> list[Path]:
    """Return all files, by name; a folder that another process removes meanwhile is no error."""
    return sorted(Path(folder, name) for folder, _, names in os.walk(directory) for name in names)


def state_differences(first: Any, second: Any, where: str) -> Iterator[str]:
    """Yield where two nested states differ; tensors and numbers are compared bit for bit.

    `where`: the name of the state, for the phrases.
    """
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        if how := tensor_difference(first, second):
            yield f"tensor {where}: {how}"
    elif isinstance(first, dict) and isinstance(second, dict):
        if names := first.keys() ^ second.keys():
            yield f"names in {where}: {sorted(map(str, names))}"
        for key in [key for key in first if key in second]:
            yield from state_differences(first[key], second[key], f"{where}/{key}")
    elif isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        if len(first) != len(second):
            yield f"{where} has {len(first)} and {len(second)} entries"
        for i, (a, b) in enumerate(zip(first, second, strict=False)):
            yield from state_differences(a, b, f"{where}[{i}]")
    elif repr(first) != repr(second):  # repr: a nan equals itself, and -0.0 is not 0.0
        yield f"{where}: {first} and {second}"


def tensor_difference(first: torch.Tensor, second: torch.Tensor) -> str:
    """Return how two tensors differ, bit for bit; "" if they are the same."""
    kinds = [f"{each.dtype} {list(each.shape)}" for each in (first, second)]
    if kinds[0] != kinds[1]:
        return f"{kinds[0]} and {kinds[1]}"
    if not first.numel():
        return ""
    bits = [each.contiguous().view(-1, 1).view(torch.uint8) for each in (first, second)]
    others = (bits[0] != bits[1]).any(1)
    if not others.any():
        return ""
    a, b = (each.reshape(-1)[others].to(torch.complex128) for each in (first, second))
    farthest = (a - b).abs().max()
    return f"{int(others.sum())} of {first.numel()} values differ, by up to {farthest:.3g}"


def curve_differences(first: Path, second: Path, times: Collection[str] = TIMES) -> Iterator[str]:
    """Yield the first point of each curve that differs, TensorBoard's curves and JSON lines."""
    a, b = read_curves(first), read_curves(second)
    for name in sorted(a.keys() | b.keys()):
        if name.rpartition(": ")[2].startswith(tuple(times)):
            continue
        points = a.get(name, {}), b.get(name, {})
        for step in sorted(points[0].keys() | points[1].keys()):
            values = [", ".join(each.get(step, ["no point"])) for each in points]
            if values[0] != values[1]:
                yield f"curve {name} at step {step}: {values[0]} and {values[1]}"
                break


def read_curves(directory: Path) -> Curves:
    """Read all points in a directory, named "place: curve", e.g. "events: train/loss"."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # It would tell of each point that a resumed run has written once more.
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    curves: Curves = {}

    def add(place: Path, name: str, step: int, value: float | None) -> None:
        key = f"{place.relative_to(directory)}: {name}"
        curves.setdefault(key, {}).setdefault(step, []).append(repr(value))

    files = files_in(directory)
    for folder in dict.fromkeys(path.parent for path in files if ".tfevents." in path.name):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                add(folder, tag, event.step, event.value)
    for path in [path for path in files if path.suffix == ".jsonl"]:
        for line in read_lines(path):
            for name in line.keys() - {"step"}:
                add(path, name, line["step"], line[name])
    return curves
