"""Files that several tests write and read: a data file, JSON, TensorBoard's curves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from support.articles import squad_json

Curves = dict[str, list[tuple[int, float]]]


def write_squad(path: Path) -> Path:
    """Write the articles as a SQuAD file and return its path."""
    path.write_text(json.dumps(squad_json(), ensure_ascii=False), encoding="utf-8")
    return path


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_curves(directory: Path) -> Curves:
    """Every curve of a run by its tag, as (step, value) points, as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def read_curve_lines(directory: Path) -> Curves:
    """The same of curves.jsonl, whose numbers have more digits than TensorBoard's."""
    curves: Curves = {}
    for line in (directory / "curves.jsonl").read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        step = values.pop("step")
        for name, value in values.items():
            curves.setdefault(name, []).append((step, float(np.float32(value))))
    return curves


def as_flags(values: Mapping[str, object]) -> list[str]:
    """Options as a command line: `--name value` for each of them."""
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]


class MakesDirectory:
    """An object whose unpickling makes a directory, as an attacker's would do worse."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """As a full disk, for this process."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
