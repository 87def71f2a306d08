"""Where the micro-batches of a step come from: epochs of any length, and streams."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import datasets
import numpy as np
import pytest
import torch
from support.regression import (
    BATCH_SIZE,
    ITEMS,
    collate,
    make_dataset,
    make_model,
    order,
    squared_error,
)
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler

from qa.engine import (
    Notice,
    TrainConfig,
    TrainingRun,
    UserError,
    load_checkpoint,
    save_checkpoint,
    seed_everything,
)
from qa.engine.distributed import World
from qa.engine.micro_batches import make_micro_batches

pytestmark = pytest.mark.usefixtures("one_thread")


def config(**settings: Any) -> TrainConfig:
    return TrainConfig(**{"precision": "fp32", "device": "cpu", "learning_rate": 0.05, **settings})


def make_run(data: Any, an_order: Any = None, seed: int = 0, **settings: Any) -> TrainingRun:
    seed_everything(seed)
    collate_fn = None if an_order is None else collate
    return TrainingRun(make_model(), squared_error, data, an_order, collate_fn, config(**settings))


def growing(epoch: int) -> list[list[int]]:
    """7, 5 and 9 micro-batches, as batches of so many tokens may come out."""
    return list(itertools.islice(itertools.cycle(order(epoch)), [7, 5, 9][epoch]))


def test_epochs_of_other_lengths_end_where_they_end() -> None:
    run = make_run(make_dataset(), growing, max_steps=11, gradient_accumulation_steps=2)
    ends = [(out.global_step, out.epoch) for out in run.steps() if out.end_of_epoch]
    assert ends == [(4, 1.0), (7, 2.0)]
    assert run.epochs_consumed == 2 + 8 / 9


def test_another_length_is_told_when_it_comes() -> None:
    run = make_run(make_dataset(), growing, num_train_epochs=2)
    with pytest.warns(Notice) as notices:
        assert len(list(run.steps())) == 14
    told = [str(each.message).partition(";")[0] for each in notices]
    assert told == ["epoch 1 has 5 micro-batches, not 7", "epoch 2 has 9 micro-batches, not 5"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(make_run(make_dataset(), order, num_train_epochs=2).steps())
        list(make_run(make_dataset(), growing, max_steps=14).steps())


def test_a_place_in_a_longer_epoch_is_gone_back_to(tmp_path: Path) -> None:
    """Micro-batch 8 of 9, though the first epoch has 7 only."""
    run, losses = make_run(make_dataset(), growing, max_steps=21), []
    for out in run.steps():
        losses.append(float(out.loss))
        if out.global_step == 20:
            save_checkpoint(tmp_path, 20, run.state_dict(), {})
    resumed = make_run(make_dataset(), growing, seed=1, max_steps=21)
    resumed.load_state_dict(load_checkpoint(tmp_path / "step-00000020"))
    assert [float(out.loss) for out in resumed.steps()] == losses[20:]


@pytest.mark.parametrize("kind", [np.array, torch.tensor, iter])
@pytest.mark.parametrize("accumulation", [1, 2, 4])
def test_an_order_may_be_an_array_or_an_iterator(kind: Any, accumulation: int) -> None:
    """Arrays add where lists join: their items would be others."""
    losses = []
    for make in (list, kind):
        run = make_run(
            make_dataset(),
            lambda epoch, make=make: make(order(epoch)[:6]),
            gradient_accumulation_steps=accumulation,
            max_steps=7,
        )
        losses.append([float(out.loss) for out in run.steps()])
    assert losses[0] == losses[1]


def test_an_empty_later_epoch_is_refused() -> None:
    run = make_run(make_dataset(), lambda epoch: order(0) if epoch == 0 else [], max_steps=8)
    with pytest.raises(UserError, match="epoch 1 is empty"):
        list(run.steps())


def batches_of(seed: int) -> Iterator[Any]:
    rows = make_dataset()
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield collate([rows[i] for i in torch.randint(ITEMS, (BATCH_SIZE,), generator=generator)])


class Endless:
    """The same batches whenever it is begun."""

    def __iter__(self) -> Iterator[Any]:
        return batches_of(3)


class Counting:
    """Knows its place, which it counts before it gives a batch."""

    def __init__(self) -> None:
        self.place = 0
        self.skipped = 0

    def __iter__(self) -> Iterator[Any]:
        for batch in itertools.islice(batches_of(3), self.place, None):
            self.place += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"place": self.place}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.place = state["place"]


def shuffled_loader() -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(4)
    rows: Any = make_dataset()
    return DataLoader(rows, 2, shuffle=True, generator=generator, collate_fn=collate)


def hub_stream() -> Any:
    """Of `datasets`. Its buffer of `shuffle` is not part of its state, so it has none."""
    rows = datasets.Dataset.from_dict({"row": torch.stack(make_dataset()).tolist()})
    stream = rows.to_iterable_dataset().repeat(None)
    return stream.batch(2).map(
        lambda batch: collate([torch.tensor(row) for row in batch["row"]]),
        remove_columns=["row"],
    )


@pytest.mark.parametrize("stream", [Endless, Counting, shuffled_loader, hub_stream])
def test_a_stream_resumes_at_any_step(stream: Any, tmp_path: Path) -> None:
    """Over the end of the loader, too, whose 7 batches are shuffled anew in each pass."""
    settings = {"max_steps": 9, "gradient_accumulation_steps": 2}
    whole = make_run(stream(), **settings)
    expected = [float(out.loss) for out in whole.steps()]
    assert len(set(expected)) == 9
    saving = make_run(stream(), **settings)
    for out in saving.steps():
        save_checkpoint(tmp_path, out.global_step, saving.state_dict(), {})
    for stop in range(1, 9):
        resumed = make_run(stream(), seed=100 + stop, **settings)
        resumed.load_state_dict(load_checkpoint(tmp_path / f"step-{stop:08d}"))
        assert [float(out.loss) for out in resumed.steps()] == expected[stop:], stop
        for name, value in whole.model.state_dict().items():
            assert torch.equal(resumed.model.state_dict()[name], value), (stop, name)


def test_a_stream_with_a_state_is_not_read_again() -> None:
    run = make_run(Counting(), max_steps=4)
    list(run.steps())
    resumed = make_run(source := Counting(), max_steps=6)
    resumed.load_state_dict(run.state_dict())
    assert source.place == 4
    list(resumed.steps())
    assert source.place == 6


def test_the_body_may_leave_a_stream_and_come_back() -> None:
    expected = [float(out.loss) for out in make_run(Endless(), max_steps=5).steps()]
    run = make_run(Endless(), max_steps=5)
    found = [float(next(run.steps()).loss) for _ in range(5)]
    assert found == expected


class Breaking:
    """Fails once at a micro-batch, in a generator or not; the same batches at each beginning."""

    def __init__(self, at: int, is_generator: bool) -> None:
        self.at, self.is_generator = at, is_generator

    def __iter__(self) -> Iterator[Any]:
        return self._batches() if self.is_generator else map(self._checked, self._numbered())

    def _numbered(self) -> Iterator[Any]:
        return zip(itertools.count(1), batches_of(3))

    def _checked(self, numbered: tuple[int, Any]) -> Any:
        if numbered[0] == self.at:
            self.at = 0
            raise KeyboardInterrupt
        return numbered[1]

    def _batches(self) -> Iterator[Any]:
        for numbered in self._numbered():
            yield self._checked(numbered)


def interrupted(run: TrainingRun) -> list[float]:
    """The losses of a run that is begun again wherever it is interrupted, as in a notebook."""
    losses = []
    while not run.is_finished:
        try:
            losses += [float(out.loss) for out in run.steps()]
        except KeyboardInterrupt:
            losses = []
    return losses


@pytest.mark.parametrize("at", [1, 4, 5, 6])
def test_a_stream_that_fails_goes_on_where_it_was(at: int) -> None:
    """What ends a generator begins it anew, up to the same place; others just go on."""
    settings = {"max_steps": 4, "gradient_accumulation_steps": 2}
    whole = make_run(Endless(), **settings)
    expected = [float(out.loss) for out in whole.steps()]
    run = make_run(Breaking(at, is_generator=True), **settings)
    found = interrupted(run)
    assert found == expected[len(expected) - len(found) :]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], value)
    # The batch that failed is gone there, and nothing else.
    other = make_run(Breaking(at, is_generator=False), **settings)
    found = interrupted(other)
    batches = list(itertools.islice(batches_of(3), 9))
    expected = losses_of(batches[: at - 1] + batches[at:])
    assert found == expected[len(expected) - len(found) :]


@pytest.mark.parametrize("first", [1, 4])
def test_a_stream_that_fails_again_while_it_is_read_up_to_its_place(first: int) -> None:
    class Twice:
        """Fails at the 6th micro-batch, and then at another one, when it is read again."""

        ends: ClassVar = [6, first]

        def __iter__(self) -> Iterator[Any]:
            end = self.ends.pop(0) if self.ends else 0
            for number, batch in enumerate(batches_of(3), 1):
                if number == end:
                    raise KeyboardInterrupt
                yield batch

    settings = {"max_steps": 4, "gradient_accumulation_steps": 2}
    expected = [float(out.loss) for out in make_run(Endless(), **settings).steps()]
    assert interrupted(make_run(Twice(), **settings)) == expected[2:]


class Passes:
    """Four micro-batches a pass; reading fails once, at a micro-batch or where a pass begins."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __iter__(self) -> Iterator[Any]:
        for batch in itertools.islice(batches_of(3), 4):
            self.at -= 1
            if self.at == 0:
                raise KeyboardInterrupt
            yield batch


@pytest.mark.parametrize("at", [4, 5, 6, 9, 10])
def test_a_stream_that_fails_in_a_later_pass(at: int) -> None:
    """At its beginning, too; what was read of that pass alone is read again."""
    expected = [float(out.loss) for out in make_run(Passes(99), max_steps=11).steps()]
    source = Passes(at)
    found = interrupted(make_run(source, max_steps=11))
    assert found == expected[at - 1 :]
    assert -source.at <= 11 - (at - 1) + 4


def test_what_cannot_be_moved_is_moved_at_the_next_step() -> None:
    class Heavy(dict[str, Any]):
        fails: ClassVar = [True]

        def items(self) -> Any:
            if self["is_heavy"] and self.fails:
                self.fails.pop()
                raise KeyboardInterrupt
            return super().items()

    def heavy() -> Iterator[Any]:
        for number, batch in enumerate(batches_of(3)):
            yield Heavy(batch, is_heavy=str(number) * (number == 3))

    settings = {"max_steps": 4, "gradient_accumulation_steps": 2}
    expected = [float(out.loss) for out in make_run(Endless(), **settings).steps()]
    assert interrupted(make_run(heavy(), **settings)) == expected[1:]


def test_a_place_that_a_stream_has_not_is_refused_before_anything_changes() -> None:
    run = make_run(iter([*itertools.islice(batches_of(3), 3)]), max_steps=9)
    before = copy.deepcopy(run.model.state_dict())
    with pytest.raises(UserError, match=r"the stream ended .* in the step after 7 micro-batches"):
        run.load_state_dict({**make_run(Endless(), max_steps=9).state_dict(), "position": 7})
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_loader_over_a_generator_that_fails() -> None:
    class Rows(IterableDataset[Any]):
        fails = True

        def __iter__(self) -> Iterator[Any]:
            for number, row in enumerate(make_dataset()):
                if number == 7 and self.fails:
                    self.fails = False
                    raise KeyboardInterrupt
                yield row

    def loader(fails: bool) -> DataLoader[Any]:
        rows = Rows()
        rows.fails = fails
        return DataLoader(rows, 2, collate_fn=collate, generator=torch.Generator())

    expected = [float(out.loss) for out in make_run(loader(False), max_steps=6).steps()]
    assert interrupted(make_run(loader(True), max_steps=6)) == expected[3:]


class FailsOnce(list[Any]):
    """Is interrupted when an item is read for this time."""

    at = 0

    def __getitem__(self, index: Any) -> Any:
        self.at -= 1
        if self.at == 0:
            raise KeyboardInterrupt
        return super().__getitem__(index)


class Drawn:
    """Draws its batches from a generator of its own, which is its state."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.generator = torch.Generator().manual_seed(3)

    def __iter__(self) -> Iterator[Any]:
        while True:
            self.at -= 1
            if self.at == 0:
                raise KeyboardInterrupt
            rows = torch.randn(BATCH_SIZE, 5, generator=self.generator)
            yield collate(list(rows))

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])


def test_a_stream_with_a_generator_as_its_state_goes_on_where_it_was() -> None:
    expected = [float(out.loss) for out in make_run(Drawn(0), max_steps=6).steps()]
    assert interrupted(make_run(Drawn(4), max_steps=6)) == expected[3:]


@pytest.mark.parametrize("by_sampler", [False, True])
@pytest.mark.parametrize("at", [6, 12])
def test_a_shuffling_loader_that_fails_at_the_end_of_a_pass(at: int, by_sampler: bool) -> None:
    """It is begun anew in the same order."""

    def run_of(fails: bool) -> TrainingRun:
        items: Any = FailsOnce(make_dataset()[:6])
        items.at = at * fails
        generator = torch.Generator().manual_seed(3)
        if not by_sampler:
            loader = DataLoader(items, 1, shuffle=True, collate_fn=collate, generator=generator)
            return make_run(loader, max_steps=15)
        batches = BatchSampler(RandomSampler(items, generator=generator), 1, drop_last=False)
        rest: Any = {"collate_fn": collate, "generator": torch.Generator()}  # not dropout's
        return make_run(DataLoader(items, batch_sampler=batches, **rest), max_steps=15)

    expected = [float(out.loss) for out in run_of(False).steps()]
    losses = interrupted(run_of(True))
    assert losses == expected[at - 1 :]


def test_a_hub_stream_that_fails_loses_what_failed_alone() -> None:
    """Its state is where it is, but it begins where it was loaded."""
    seen: list[int] = []

    def check(row: dict[str, Any]) -> dict[str, Any]:
        seen.append(row["row"])
        if seen == [0, 1, 2, 3]:
            raise KeyboardInterrupt
        return collate([torch.ones(5)])

    rows = datasets.Dataset.from_dict({"row": list(range(9))}).to_iterable_dataset()
    run = make_run(rows.repeat(None).map(check, remove_columns=["row"]), max_steps=5)
    interrupted(run)
    assert seen[:6] == [0, 1, 2, 3, 4, 5]


def test_a_hub_stream_that_is_saved_before_it_is_read_on_is_where_it_was() -> None:
    run = make_run(hub_stream(), max_steps=9)
    losses = [float(out.loss) for _, out in zip(range(5), run.steps(), strict=False)]
    state = copy.deepcopy(run.state_dict())
    losses += [float(out.loss) for out in run.steps()]
    for loaded in (make_run(hub_stream(), max_steps=9), run):  # one is new, one goes back
        loaded.load_state_dict(state)
        saved = copy.deepcopy(loaded.state_dict())
        again = make_run(hub_stream(), max_steps=9)
        again.load_state_dict(saved)
        assert [float(out.loss) for out in again.steps()] == losses[5:]
        loaded.load_state_dict(state)
        assert [float(out.loss) for out in loaded.steps()] == losses[5:]


def test_a_step_made_again_has_what_loss_fn_has_taken_out() -> None:
    calls = itertools.count(1)

    def popping(model: Any, batch: Any) -> Any:
        y = batch.pop("y")
        if next(calls) == 2:
            raise KeyboardInterrupt
        return squared_error(model, {**batch, "y": y})

    run = make_run(Endless(), max_steps=3)
    run.loss_fn = popping
    assert len(interrupted(run)) == 2


def losses_of(batches: list[Any]) -> list[float]:
    run = make_run(batches, max_steps=4, gradient_accumulation_steps=2)
    return [float(out.loss) for out in run.steps()]


@pytest.mark.parametrize("stream", [Endless, Counting, shuffled_loader, lambda: batches_of(3)])
def test_a_step_that_fails_is_made_again_with_the_same_batches(stream: Any) -> None:
    """Of a stream that can be read once only, too."""
    settings = {"max_steps": 4, "gradient_accumulation_steps": 2}
    whole, run = make_run(stream(), **settings), make_run(stream(), **settings)
    for each in (whole, run):
        dropout: Any = each.model.get_submodule("1")
        dropout.p = 0  # the failed step has drawn masks
    expected, calls = [float(out.loss) for out in whole.steps()], itertools.count(1)

    def fail(*_: Any) -> None:
        if next(calls) == 4:  # the second micro-batch of the second step
            raise KeyboardInterrupt

    run.model.register_forward_pre_hook(fail)
    assert interrupted(run) == expected[1:]


def test_a_stream_may_use_a_batch_again() -> None:
    def again() -> Iterator[Any]:
        batch: dict[str, Any] = {}
        for each in batches_of(3):
            batch.update(each)
            yield batch

    def into_the_same() -> Iterator[Any]:
        x, y = torch.empty(BATCH_SIZE, 4), torch.empty(BATCH_SIZE)
        for each in batches_of(3):
            x.copy_(each["x"])
            y.copy_(each["y"])
            yield {**each, "x": x, "y": y}

    settings = {"max_steps": 3, "gradient_accumulation_steps": 3}
    expected = [float(out.loss) for out in make_run(batches_of(3), **settings).steps()]
    for stream in (again(), into_the_same()):
        assert [float(out.loss) for out in make_run(stream, **settings).steps()] == expected


class EndsEarly(list[Any]):
    def __getitem__(self, index: Any) -> Any:
        return next(iter([])) if index == 5 else super().__getitem__(index)


def test_a_data_set_that_ends_before_its_order_is_told() -> None:
    run = make_run(EndsEarly(make_dataset()), order, num_train_epochs=1)
    with pytest.raises(UserError, match="raised StopIteration, e.g. by next"):
        list(run.steps())


def test_a_stream_has_no_epochs() -> None:
    run = make_run(Endless(), max_steps=2)
    out = next(run.steps())
    assert (out.epoch, out.end_of_epoch, out.is_due(1), out.is_due(2)) == (0, None, True, False)
    with pytest.raises(UserError, match="a stream has no epochs"):
        out.is_due("epoch")


@pytest.mark.parametrize("stream", [lambda: iter(list(batches_of_three())), lambda: Ending()])
def test_a_stream_that_ends_early_is_told(stream: Any) -> None:
    """Read once only, or with a state, which may not begin anew where it began."""
    run = make_run(stream(), max_steps=4)
    steps = run.steps()
    assert [next(steps).global_step for _ in range(3)] == [1, 2, 3]
    with pytest.raises(UserError, match="ended before max_steps, in the step after 3 micro"):
        next(steps)


def batches_of_three() -> Iterator[Any]:
    return itertools.islice(batches_of(3), 3)


class Ending(Counting):
    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(super().__iter__(), 3)


class TorchStream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return batches_of(3)


@pytest.mark.parametrize(
    ("data", "an_order", "settings", "told"),
    [
        (make_dataset(), [[0, 1]], {}, "order must be a function of the epoch, not list"),
        (shuffled_loader(), order, {}, "item for its index, as torch.utils.data.*DataLoader does"),
        (TorchStream(), order, {}, "TorchStream does not; .* pass order None"),
        (Endless(), None, {}, "max_steps set"),
        (3, None, {"max_steps": 1}, "an iterable of micro-batches"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    data: Any, an_order: Any, settings: Any, told: str
) -> None:
    with pytest.raises(UserError, match=told) as error:
        make_run(data, an_order, **settings)
    assert "\n" not in str(error.value)


def drawn_from(generator: Any) -> Any:
    """An order that draws from a generator which lives longer than the call."""
    return lambda epoch: torch.randperm(12, generator=generator).view(6, 2).tolist()


@pytest.mark.parametrize("generator", [None, torch.Generator().manual_seed(0)])
def test_an_order_that_is_another_at_each_call_is_refused(generator: Any) -> None:
    """A resumed run would go on at a place in other data."""
    run = make_run(make_dataset(), drawn_from(generator))
    with pytest.raises(UserError, match=r"order\(0\) returned other micro-batches .* seed"):
        next(run.steps())


class Key:
    """Has no text of its own, but an address."""

    def __init__(self, number: int) -> None:
        self.number = number


class Keyed(list[Any]):
    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key.number)


def test_an_order_of_keys_without_a_text_is_the_same_at_each_call() -> None:
    kept = []  # so that no address comes again

    def keys(epoch: int) -> list[list[Key]]:
        kept.append([[Key(number) for number in batch] for batch in order(epoch)])
        return kept[-1]

    assert len(list(make_run(Keyed(make_dataset()), keys, max_steps=9).steps())) == 9


def test_an_order_that_is_another_after_a_resume_is_refused() -> None:
    def an_order(epoch: int) -> list[list[int]]:
        return order(0) if epoch == 0 else drawn_from(None)(epoch)

    run = make_run(make_dataset(), an_order, max_steps=20)
    states = [run.state_dict() for _ in itertools.islice(run.steps(), 9)]
    resumed = make_run(make_dataset(), an_order, max_steps=20)
    resumed.load_state_dict(states[-1])
    with pytest.raises(UserError, match=r"order\(1\) returned other micro-batches"):
        next(resumed.steps())


def tensors(epoch: int) -> Any:
    return torch.arange(12).view(6, 2).roll(epoch, 0)


@pytest.mark.parametrize("an_order", [tensors, order, lru_cache(order)])
def test_indices_of_any_type_are_the_same_at_each_call(an_order: Any) -> None:
    run = make_run(make_dataset(), an_order, max_steps=20)
    while not run.is_finished:
        next(run.steps())
    assert run.global_step == 20


def test_a_stream_takes_no_collate_fn() -> None:
    with pytest.raises(UserError, match="collate_fn None"):
        TrainingRun(make_model(), squared_error, Endless(), None, collate, config(max_steps=1))


def test_a_shuffling_loader_without_a_generator_is_told() -> None:
    """From its second pass on its order depends on what was drawn in the training."""
    data: Any = make_dataset()
    with pytest.warns(Notice, match="goes on in other data; give it generator="):
        make_run(DataLoader(data, 8, shuffle=True, collate_fn=collate), max_steps=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        own = torch.Generator().manual_seed(0)
        make_run(DataLoader(data, 8, shuffle=True, collate_fn=collate, generator=own), max_steps=3)
        make_run(DataLoader(data, 8, collate_fn=collate), max_steps=3)
    with pytest.warns(Notice, match="a stream's own loader has its own workers"):
        make_run(DataLoader(data, 8, collate_fn=collate), max_steps=3, num_workers=2)


def test_an_order_of_items_is_no_order_of_micro_batches() -> None:
    with pytest.raises(UserError, match="must return micro-batches, each a list of indices"):
        make_run(make_dataset(), lambda epoch: [0, 1, 2])


def test_a_state_in_memory_stays_as_it_is() -> None:
    """Each time it is loaded the run goes on in the same way."""
    run = make_run(make_dataset(), order, max_steps=6)
    steps = run.steps()
    for _ in range(2):
        next(steps)
    kept = copy.deepcopy(run.state_dict())
    ends = []
    for _ in range(3):
        run.load_state_dict(kept)
        losses = [float(out.loss) for out in run.steps()]
        ends.append((losses, {name: w.clone() for name, w in run.weights().items()}))
    for losses, weights in ends[1:]:
        assert losses == ends[0][0]
        assert all(torch.equal(weights[name], ends[0][1][name]) for name in weights)


def test_going_back_within_a_loop_is_refused() -> None:
    run = make_run(make_dataset(), order, max_steps=6)
    state = copy.deepcopy(run.state_dict())
    steps = run.steps()
    next(steps)
    run.load_state_dict(state)
    with pytest.raises(UserError, match="leave that loop and begin another"):
        next(steps)
    assert len(list(run.steps())) == 6


def test_of_two_loops_the_older_one_is_refused() -> None:
    """It would go on in its old place, and what the newer one trains on would come again."""
    run = make_run(make_dataset(), order, max_steps=6)
    older = run.steps()
    next(older)
    newer = run.steps()
    next(newer)
    with pytest.raises(UserError, match="leave that loop and begin another"):
        next(older)
    assert [out.global_step for out in newer] == [3, 4, 5, 6]


def test_a_loop_that_is_refused_at_the_end_of_an_epoch_leaves_the_place_alone() -> None:
    run = make_run(make_dataset(), order, max_steps=21)
    state = copy.deepcopy(run.state_dict())
    steps = run.steps()
    for _ in range(7):
        next(steps)
    run.load_state_dict(state)
    with pytest.raises(UserError, match="leave that loop and begin another"):
        next(steps)
    assert (run.micro_batches.epoch, run.micro_batches.position) == (0, 0)


def test_a_place_in_data_of_another_kind_is_refused() -> None:
    ordered = make_run(make_dataset(), order, max_steps=9)
    stream = make_run(Counting(), max_steps=9)
    for run in (ordered, stream):
        assert len([*itertools.islice(run.steps(), 8)]) == 8
    with pytest.raises(UserError, match="of a stream, and this run's data have an order"):
        ordered.load_state_dict(stream.state_dict())
    with pytest.raises(UserError, match="epoch 1 of data with an order"):
        stream.load_state_dict(ordered.state_dict())


class Drawing(list[Any]):
    def __getitem__(self, index: Any) -> Any:
        return torch.rand(5)


def test_data_workers_of_two_processes_draw_other_numbers() -> None:
    drawn = []
    for rank in (0, 1, 0):
        rest = collate, config(num_workers=1), torch.device("cpu"), World(rank, 2)
        with closing(make_micro_batches(Drawing(make_dataset()), order, *rest).steps()) as steps:
            (batch,), *_ = next(steps)
        drawn.append(batch["x"])
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
