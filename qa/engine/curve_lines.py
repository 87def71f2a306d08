"""Curves as JSON lines, for programs that read no TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qa.engine.atomic_files import replace_file
from qa.engine.json_files import finite


class CurveLines:
    """Writes the points of a run, {"step": 10, "train/loss": 2.5, ...}, a line a call.

    Lines behind the step from which a run is resumed are dropped; the run writes them again. Points
    at that step stay, and are not written twice: a kill may come between an evaluation and the
    checkpoint that knows of it.

    Args:
        path: The file; its folder is made if it is missing.
        resumed_at: The step from which the run is resumed; 0: it starts from the beginning, and
            what is in the file is dropped.
    """

    def __init__(self, path: Path, resumed_at: int = 0) -> None:
        found = read_lines(path) if resumed_at else []
        lines = [line for line in found if line["step"] <= resumed_at]
        self._written = {name for line in lines if line["step"] == resumed_at for name in line}
        self._resumed_at = resumed_at
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as file:
            file.writelines(map(as_line, lines))
        self._file = path.open("a", encoding="utf-8")

    def write(self, values: Mapping[str, Any], step: int) -> None:
        """Write a point of each named curve; another process can read it at once."""
        if step == self._resumed_at:
            values = {name: value for name, value in values.items() if name not in self._written}
        if values:
            self._file.write(as_line({"step": step, **values}))
            self._file.flush()

    def flush(self) -> None:
        """Make the system write all lines so far to the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def as_line(values: dict[str, Any]) -> str:
    """Return a JSON line of numbers, also those in tensors, with null for nan and infinity."""
    return json.dumps(finite(values), default=lambda value: finite(float(value))) + "\n"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a file, without one that a kill cut off; [] if there is no file."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [each for each in found if isinstance(each, dict) and isinstance(each.get("step"), int)]
