"""What differs between two runs, in words, to the last bit."""

from __future__ import annotations

import copy
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qa.engine import TensorBoard, save_checkpoint
from qa.engine.curve_lines import CurveLines
from qa.engine.run_differences import run_differences, state_differences

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
TENSORS = st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.bool]).flatmap(
    lambda kind: st.lists(st.integers(0, 9), max_size=4).map(lambda v: torch.tensor(v, dtype=kind))
)
STATES = st.recursive(
    PLAIN | TENSORS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(STATES)
def test_a_state_equals_its_copy(state: Any) -> None:
    assert list(state_differences(state, copy.deepcopy(state), "x")) == []


@given(st.floats(width=32), st.floats(width=32))
def test_numbers_and_tensors_are_compared_bit_for_bit(a: float, b: float) -> None:
    are_same = struct.pack("f", a) == struct.pack("f", b)
    tensors = torch.tensor([[1.0, a]]), torch.tensor([[1.0, b]])
    assert bool(list(state_differences(tensors[0], tensors[1], "x"))) != are_same
    if a == a or b == b:  # one nan is printed as another
        assert bool(list(state_differences([a], [b], "x"))) != are_same


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"k": 3}, {"k": 13}, "x/k: 3 and 13"),
        ({"k": 3, "m": 1}, {"k": 3}, "names in x: ['m']"),
        ([1, 2], [1], "x has 2 and 1 entries"),
        ((1, [0.0]), (1, [-0.0]), "x[1][0]: 0.0 and -0.0"),
        (1, 1.0, "x: 1 and 1.0"),
        (torch.zeros(3), torch.tensor([0, 0.5, -2]), "tensor x: 2 of 3 values differ, by up to 2"),
        (torch.zeros(2, 1), torch.zeros(2), "tensor x: torch.float32 [2, 1] and torch.float32 [2]"),
        (torch.zeros(()), torch.tensor(0), "tensor x: torch.float32 [] and torch.int64 []"),
        (torch.tensor(True), torch.tensor(False), "tensor x: 1 of 1 values differ, by up to 1"),
    ],
)
def test_differences_in_words(first: Any, second: Any, expected: str) -> None:
    assert list(state_differences(first, second, "x")) == [expected]


def write_run(directory: Path, losses: dict[int, float], states: dict[int, Any]) -> Path:
    """Write a run with curves of both kinds, and checkpoints in a folder of their own."""
    tensorboard = TensorBoard(directory / "events", lines=directory / "curves.jsonl")
    for step, loss in losses.items():
        tensorboard.scalars({"loss": loss, "speed/items": hash(directory) % 1000}, step)
    tensorboard.close()
    for step, state in states.items():
        save_checkpoint(directory / "saved", step, state, {})
    return directory


def test_the_oldest_checkpoint_that_differs_comes_first_and_its_plain_values(
    tmp_path: Path,
) -> None:
    weights, others = torch.zeros(2), torch.ones(2)
    first = write_run(tmp_path / "a", {1: 0.5}, {5: {"w": weights}, 10: {"w": weights, "k": 1}})
    same = write_run(tmp_path / "b", {1: 0.5}, {5: {"w": weights}, 10: {"w": weights, "k": 1}})
    assert list(run_differences(first, same)) == []
    other = write_run(tmp_path / "c", {1: 0.5}, {7: {}, 10: {"w": others, "k": 2}})
    assert list(run_differences(first, other)) == [
        "saved/step-00000010/k: 1 and 2",
        "tensor saved/step-00000010/w: 2 of 2 values differ, by up to 1",
    ]
    shorter = write_run(tmp_path / "d", {1: 0.5}, {5: {"w": weights}})
    assert list(run_differences(first, shorter)) == [
        "checkpoints ['saved/step-00000005', 'saved/step-00000010'] and ['saved/step-00000005']"
    ]


def test_a_point_of_a_curve_that_is_other_missing_or_twice(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", {1: 0.5, 2: 0.25}, {})
    changed = write_run(tmp_path / "b", {1: 0.5, 2: 0.125}, {})
    assert list(run_differences(first, changed)) == [
        "curve curves.jsonl: loss at step 2: 0.25 and 0.125",
        "curve events: loss at step 2: 0.25 and 0.125",
    ]
    missing = write_run(tmp_path / "c", {2: 0.25}, {})
    assert list(run_differences(first, missing)) == [
        "curve curves.jsonl: loss at step 1: 0.5 and no point",
        "curve events: loss at step 1: 0.5 and no point",
    ]
    twice = write_run(tmp_path / "d", {1: 0.5, 2: 0.25}, {})
    lines = CurveLines(twice / "curves.jsonl", resumed_at=2)
    lines.write({"lost": 1.0}, 2)
    lines.close()
    again = TensorBoard(twice / "events", resumed_at=0)
    again.scalars({"loss": 0.25}, 2)
    again.close()
    assert list(run_differences(first, twice, times=("speed/", "lost"))) == [
        "curve events: loss at step 2: 0.25 and 0.25, 0.25"
    ]
    assert "curve events: speed/items at step 1: " in "\n".join(
        run_differences(first, changed, times=())
    )
