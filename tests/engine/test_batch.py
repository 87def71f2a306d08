"""What the engine asks of a batch and of a loss, and the way of a batch to the device."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.regression import collate, make_run, squared_error
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from qa.engine import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


class Pair(NamedTuple):
    first: Any
    second: Any


def without_count(items: list[torch.Tensor]) -> Any:
    batch = collate(items)
    del batch["num_items"]
    return batch


def counted_as(value: Any) -> Any:
    return lambda items: {**collate(items), "num_items": value}


@pytest.mark.parametrize(
    ("collate_fn", "told"),
    [
        (without_count, "is missing"),
        (counted_as(np.int64(2)), "is numpy.int64"),
        (counted_as(torch.tensor(2)), "is torch.Tensor"),
        (counted_as(2.0), "is float"),
        (counted_as(True), "is bool"),
        (counted_as(None), "is NoneType"),
        (counted_as(-1), "is -1"),
        (lambda items: tuple(collate(items).values()), "a batch must be a dict.* is tuple"),
    ],
)
def test_a_wrong_count_of_items_is_refused(collate_fn: Any, told: str) -> None:
    """Each of them would be taken for 0 or so, and the sum of the losses trained on."""
    run = make_run(collate_fn=collate_fn)
    with pytest.raises(UserError, match=told) as error:
        next(run.steps())
    assert "\n" not in str(error.value)
    assert run.global_step == 0


def test_a_count_is_checked_in_every_micro_batch() -> None:
    def collate_fn(items: list[torch.Tensor]) -> Any:
        return collate(items) if len(items) == 2 else without_count(items)

    run = make_run(collate_fn=collate_fn, gradient_accumulation_steps=7)
    with pytest.raises(UserError, match="missing"):
        next(run.steps())


def test_other_ints_are_summed_even_if_not_every_batch_has_them() -> None:
    def collate_fn(items: list[torch.Tensor]) -> Any:
        return {**collate(items), **({"pairs": 1} if len(items) == 2 else {"singles": 1})}

    run = make_run(collate_fn=collate_fn, gradient_accumulation_steps=7)
    counts = next(run.steps()).counts
    assert counts == {"num_items": 13, "num_values": 65, "pairs": 6, "singles": 1}


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (lambda loss: {"loss": loss}, "loss is dict"),
        (lambda loss: loss.reshape(1), r"loss is torch.Tensor of shape \(1,\)"),
        (lambda loss: 1.5, "loss is float"),
        (lambda loss: (loss, {"part": 1.5}), "part is float"),
        (lambda loss: (loss, {"part": loss.reshape(1, 1)}), r"part is torch.Tensor of shape"),
        (lambda loss: (loss, loss), "loss is tuple"),
        (lambda loss: (loss, {}, 1), "loss is tuple"),
    ],
)
def test_a_loss_that_is_no_scalar_tensor_is_refused(returned: Any, told: str) -> None:
    run = make_run()
    run.loss_fn = lambda model, batch: returned(squared_error(model, batch))
    with pytest.raises(UserError, match=told) as error:
        next(run.steps())
    assert "\n" not in str(error.value)


tensors = st.builds(torch.full, st.just((2,)), st.integers(-9, 9))
batches = st.recursive(
    tensors | st.integers() | st.text() | st.none(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.builds(Pair, inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.builds(OrderedDict, st.dictionaries(st.text(), inner))
    ),
    max_leaves=8,
)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for key in value for leaf in (key, *leaves(value[key]))]
    if isinstance(value, list | tuple):
        return [type(value).__name__, *(leaf for item in value for leaf in leaves(item))]
    return [value]


@given(batches)
def test_nested_tensors_go_to_the_device_and_all_else_stays(batch: Any) -> None:
    run = make_run()
    run.device = torch.device("meta")
    before, after = leaves(batch), leaves(run.to_device(batch))
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        if isinstance(old, torch.Tensor):
            assert (new.device.type, new.shape) == ("meta", old.shape)
        else:
            assert new is old or new == old


def test_a_packed_sequence_keeps_its_lengths_on_the_cpu() -> None:
    run = make_run()
    run.device = torch.device("meta")
    packed = pack_sequence([torch.ones(3), torch.ones(1)])
    moved = run.to_device({"x": [packed]})["x"][0]
    assert isinstance(moved, PackedSequence)
    assert (moved.data.device.type, moved.batch_sizes.device.type) == ("meta", "cpu")


@pytest.mark.parametrize(("device", "is_ahead"), [("cuda", True), ("mps", False), ("cpu", False)])
def test_only_cuda_copies_while_the_host_goes_on(device: str, is_ahead: bool) -> None:
    """Elsewhere it would read memory that may be another's by then (pytorch issue 189690)."""

    class Recording:
        def to(self, device: torch.device, non_blocking: bool) -> Any:
            return device.type, non_blocking

    run = make_run()
    run.device = torch.device(device)
    assert run.to_device([Recording()]) == [(device, is_ahead)]
