"""Curves as JSON lines: one a call, and none twice after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qa.engine.curve_lines import CurveLines
from qa.engine.tensorboard import TensorBoard


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    lines = CurveLines(tmp_path / "c.jsonl")
    lines.write({"train/loss": 0.1, "train/skipped_steps": 2}, 10)
    lines.write({"eval/f1": float("nan"), "eval/loss": float("inf")}, 10)
    assert (tmp_path / "c.jsonl").read_text(encoding="utf-8") == (
        '{"step": 10, "train/loss": 0.1, "train/skipped_steps": 2}\n'
        '{"step": 10, "eval/f1": null, "eval/loss": null}\n'
    )


def test_values_may_be_tensors_and_numbers_of_numpy(tmp_path: Path) -> None:
    lines = CurveLines(tmp_path / "new" / "c.jsonl")
    values: Any = {"a": torch.tensor(0.5), "b": np.float32(2), "c": torch.tensor(float("inf"))}
    lines.write(values, 1)
    expected = [{"step": 1, "a": 0.5, "b": 2.0, "c": None}]
    assert lines_of(tmp_path / "new" / "c.jsonl") == expected


@pytest.mark.parametrize("torn", ["", '{"step": 7, "x": 1.', '{"step": 7}garbage\n', "7\n", "\xff"])
def test_a_resumed_run_drops_what_lies_behind_it(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "c.jsonl"
    first = CurveLines(path)
    for step in range(1, 7):
        first.write({"x": step / 3}, step)
    first.close()
    with path.open("a", encoding="utf-8") as file:
        file.write(torn)
    second = CurveLines(path, resumed_at=4)
    second.write({"x": 5.5}, 5)
    second.close()
    expected = [{"step": step, "x": step / 3} for step in range(1, 5)]
    assert lines_of(path) == [*expected, {"step": 5, "x": 5.5}]
    assert [each.name for each in tmp_path.iterdir()] == ["c.jsonl"]


def test_a_run_that_starts_from_the_beginning_drops_all(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        lines = CurveLines(tmp_path / "c.jsonl")
        for step in (0, 1):
            lines.write({"x": value}, step)
        lines.close()
    assert lines_of(tmp_path / "c.jsonl") == [{"step": step, "x": 2.0} for step in (0, 1)]


def test_an_evaluation_at_the_step_of_the_checkpoint_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    for resumed_at in (0, 4, 4):
        lines = CurveLines(path, resumed_at)
        if not resumed_at:
            lines.write({"train/loss": 1.0}, 4)
        lines.write({"eval/f1": 9.0}, 4)  # the kill comes before a checkpoint knows of it
        lines.close()
    assert lines_of(path) == [{"step": 4, "train/loss": 1.0}, {"step": 4, "eval/f1": 9.0}]


def test_tensorboard_writes_the_lines_too_in_the_main_process_only(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    for directory in (None, tmp_path / "events"):
        tensorboard = TensorBoard(directory, lines=path)
        tensorboard.scalars({"x": 1.0}, 3)
        tensorboard.flush()
        assert path.exists() == (directory is not None)
        tensorboard.close()
    assert lines_of(path) == [{"step": 3, "x": 1.0}]
