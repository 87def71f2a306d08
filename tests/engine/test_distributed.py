"""Two processes against one: the same optimisation, and resuming with another number of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.runs import Launcher, Run, as_rank, free_port

from qa.engine import load_checkpoint
from qa.engine.distributed import World, join_world
from qa.engine.micro_batches import split_step

# Trains a small model in fp64 and saves what it saw; run in each process.
SCRIPT = """
import json, sys
from functools import partial
from pathlib import Path
import numpy as np
import torch
from torch import nn
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
from qa.engine import TrainConfig, TrainingRun, adamw, load_checkpoint, save_checkpoint
from qa.engine import seed_everything
from qa.engine.distributed import join_world

ITEMS, BATCH_SIZE = 13, 2  # 7 micro-batches an epoch, the last of them with one item

def order(epoch):
    shuffled = np.random.default_rng([5, epoch]).permutation(ITEMS).tolist()
    return [shuffled[i : i + BATCH_SIZE] for i in range(0, ITEMS, BATCH_SIZE)]

def collate(items):
    rows = torch.stack(items)
    # Not every row counts, so that micro-batches differ in their number of items.
    counts = rows[:, 5] > -0.5
    batch = {"x": rows[:, :4], "y": rows[:, 4], "counts": counts, "num_items": int(counts.sum())}
    seen.append([int(row[6]) for row in rows])
    return batch

def loss_fn(model, batch):
    error = (model(batch["x"]).squeeze(-1) - batch["y"]) * batch["counts"]
    terms = [("absolute", error.abs().sum()), ("bias", error.sum())]
    return (error ** 2).sum(), dict(reversed(terms) if world.rank else terms)  # in any order

def optimizers(model):
    head = adamw(model[3], TrainConfig(learning_rate=0.02))
    return [head, torch.optim.SGD(model[0].parameters(), lr=0.05, momentum=0.9)]

seen = []
world = join_world(torch.device("cpu"))
rows = torch.randn(ITEMS, 7, generator=torch.Generator().manual_seed(1))
rows[:, 6] = torch.arange(ITEMS)
seed_everything(0)
model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(options["dropout"]), nn.Tanh(), nn.Linear(8, 1))
config = TrainConfig(
    precision="fp32", device="cpu", learning_rate=0.05, max_grad_norm=options["max_grad_norm"],
    gradient_accumulation_steps=options["accumulation"], max_steps=options["total"],
)
optimizer = partial(adamw, config=config, learning_rates={"3.": 0.02})
if options.get("two_optimizers"):
    optimizer = optimizers
run = TrainingRun(
    model, loss_fn, list(rows), order, collate, config, optimizer=optimizer, world=world
)
seed_everything(100 + world.rank)
if options["load"]:
    run.load_state_dict(load_checkpoint(Path(options["load"]))["run"])
losses, norms, terms = [], [], []
for out in run.steps():
    losses.append(float(out.loss))
    norms.append(float(out.grad_norm))
    terms.append({name: float(term) for name, term in out.terms.items()})
    if out.global_step == options.get("fail_at") and world.rank == 1:
        raise RuntimeError("rank 1 is broken")
    if out.global_step == options["until"]:
        break
state = {"run": run.state_dict(), "losses": losses, "norms": norms, "terms": terms}
gathered = world.gather(seen)
if world.is_main:
    save_checkpoint(Path(options["save"]), run.global_step, {**state, "seen": gathered}, {})
print(json.dumps(world.gather([world.sum_ints([world.rank + 1, 10]), world.from_main(world.rank)])))
world.leave()
sys.exit(0)
"""


def start_processes(launcher: Launcher, size: int, options: dict[str, Any]) -> list[Run]:
    """The processes of a run, as torchrun starts them."""
    port = free_port()
    script = f"options = {options!r}\n{SCRIPT}"
    ranks = [as_rank(rank, size, port) if size > 1 else "" for rank in range(size)]
    return [launcher.start([], prelude + script) for prelude in ranks]


def train(
    launcher: Launcher,
    folder: Path,
    size: int,
    accumulation: int,
    load: Path | None = None,
    until: int = 9,
    dropout: float = 0.0,
    max_grad_norm: float = 1.0,
    two_optimizers: bool = False,
) -> Path:
    """Train from the start or from a checkpoint until a step of 9; return its checkpoint."""
    options = {
        "accumulation": accumulation,
        "load": str(load) if load else None,
        "save": str(folder),
        "until": until,
        "total": 9,
        "dropout": dropout,
        "max_grad_norm": max_grad_norm,
        "two_optimizers": two_optimizers,
    }
    runs = start_processes(launcher, size, options)
    assert [run.wait() for run in runs] == [0] * size, [run.stderr for run in runs]
    if size == 2:
        assert json.loads(runs[0].stdout) == [[[3, 20], 0], [[3, 20], 0]]
        assert json.loads(runs[1].stdout) == []
    return folder / f"step-{until:08d}"


def assert_close(path: Path, other: Path) -> None:
    """Weights and moments agree as far as fp64 sums in another order do."""
    state, other_state = load_checkpoint(path)["run"], load_checkpoint(other)["run"]
    for key in ("global_step", "epoch", "position"):
        assert state[key] == other_state[key]
    for name, weight in other_state["model"].items():
        assert weight.dtype == torch.float64
        assert float((state["model"][name] - weight).abs().max()) < 1e-12, name
    optimizers, others = state["optimizer"], other_state["optimizer"]
    if isinstance(others, dict):
        optimizers, others = [optimizers], [others]
    for optimizer, other_optimizer in zip(optimizers, others, strict=True):
        for index, moments in other_optimizer["state"].items():
            for name, value in moments.items():
                difference = (optimizer["state"][index][name] - value).abs().max()
                assert float(difference) < 1e-12, name


def rows_by_step(path: Path, accumulation: int) -> list[list[int]]:
    """The rows that each step consumed over all processes, sorted, with any repetition."""
    per_rank = load_checkpoint(path)["seen"]
    size = len(per_rank)
    remaining = [list(batches) for batches in per_rank]
    steps = []
    for left in [7, 7]:
        while left > 0:
            count = min(left, accumulation * size)
            rows: list[int] = []
            for rank in range(size):
                own = len(range(rank, count, size))
                rows += [r for _ in range(own) for r in remaining[rank].pop(0)]
                if own == 0:  # it repeated one of the others, with weight 0
                    remaining[rank].pop(0)
            steps.append(sorted(rows))
            left -= count
    return steps


@pytest.fixture(scope="module")
def alone(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, 2 micro-batches a step: 2 + 2 + 2 + 1 of an epoch's 7, then again."""
    return train(launcher, tmp_path_factory.mktemp("alone"), 1, 2)


@pytest.mark.e2e
def test_two_processes_are_one_process_that_accumulates(
    launcher: Launcher, alone: Path, tmp_path: Path
) -> None:
    """In every fourth step the second process has no micro-batch left."""
    two = train(launcher, tmp_path, 2, 1)
    assert_close(two, alone)
    found, expected = load_checkpoint(two), load_checkpoint(alone)
    for name in ("losses", "norms"):
        assert len(expected[name]) == 9
        assert found[name] == pytest.approx(expected[name], abs=1e-12)
    assert len(set(expected["losses"])) == 9
    for ours, theirs in zip(found["terms"], expected["terms"], strict=True):
        assert theirs.keys() == {"absolute", "bias"}
        assert ours == pytest.approx(theirs, abs=1e-12)
    assert rows_by_step(two, 1) == rows_by_step(alone, 2)[:8]


@pytest.mark.e2e
def test_two_processes_that_accumulate_over_a_ragged_step(
    launcher: Launcher, tmp_path: Path
) -> None:
    """4 micro-batches a step of an epoch's 7: 2 + 2, then 2 + 1. Without clipping as well."""
    one = train(launcher, tmp_path / "one", 1, 4, max_grad_norm=0.0)
    two = train(launcher, tmp_path / "two", 2, 2, max_grad_norm=0.0)
    assert_close(two, one)
    losses = [load_checkpoint(path)["losses"] for path in (two, one)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)


@pytest.mark.e2e
def test_two_processes_with_two_optimizers(launcher: Launcher, tmp_path: Path) -> None:
    """Clipped together; the run is broken off and goes on in another number of processes."""
    one = train(launcher, tmp_path / "one", 1, 2, two_optimizers=True)
    two = train(launcher, tmp_path / "two", 2, 1, two_optimizers=True)
    assert_close(two, one)
    path = train(launcher, tmp_path / "a", 2, 1, until=5, two_optimizers=True)
    path = train(launcher, tmp_path / "b", 1, 2, load=path, two_optimizers=True)
    assert_close(path, one)


@pytest.mark.e2e
def test_two_one_two_processes_are_an_uninterrupted_run(
    launcher: Launcher, alone: Path, tmp_path: Path
) -> None:
    """The run is broken off in the middle of an epoch, and again at the end of one."""
    path = train(launcher, tmp_path / "a", 2, 1, until=3)
    path = train(launcher, tmp_path / "b", 1, 2, load=path, until=8)
    path = train(launcher, tmp_path / "c", 2, 1, load=path)
    assert_close(path, alone)


@pytest.mark.e2e
def test_two_processes_resume_bit_for_bit_with_dropout(launcher: Launcher, tmp_path: Path) -> None:
    """The random numbers of each process go on where they were."""
    whole = train(launcher, tmp_path / "whole", 2, 1, dropout=0.5)
    path = train(launcher, tmp_path / "a", 2, 1, until=5, dropout=0.5)
    path = train(launcher, tmp_path / "b", 2, 1, load=path, dropout=0.5)
    state, expected = load_checkpoint(path)["run"], load_checkpoint(whole)["run"]
    for name, weight in expected["model"].items():
        assert torch.equal(state["model"][name], weight), name
    generators = [[rng["torch"] for rng in each["rng"]] for each in (state, expected)]
    assert len(generators[1]) == 2
    assert all(torch.equal(a, b) for a, b in zip(*generators, strict=True))
    assert not torch.equal(*generators[1])  # the processes draw different numbers
    losses = [
        load_checkpoint(tmp_path / p)["losses"] for p in ("b/step-00000009", "whole/step-00000009")
    ]
    assert losses[0] == losses[1][5:]


@pytest.mark.e2e
def test_a_process_that_fails_ends_the_other(launcher: Launcher, tmp_path: Path) -> None:
    options: dict[str, Any] = {"accumulation": 1, "load": None, "save": str(tmp_path)}
    options |= {"until": 9, "total": 9}
    options |= {"dropout": 0.0, "max_grad_norm": 1.0, "fail_at": 3}
    runs = start_processes(launcher, 2, options)
    assert 0 not in [run.wait() for run in runs]
    assert "rank 1 is broken" in runs[1].stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sharding", ["none", "fsdp"])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 8])
def test_every_micro_batch_is_dealt_once(size: int, length: int, sharding: str) -> None:
    step = [[10 * i, 10 * i + 1] for i in range(length)]
    shares = [split_step(step, World(rank, size), sharding) for rank in range(size)]
    own = sorted(batch for batches, num_own in shares for batch in batches[:num_own])
    assert own == step
    assert [num_own for _, num_own in shares] == [
        len(range(rank, length, size)) for rank in range(size)
    ]
    for batches, num_own in shares:
        assert batches  # so that every process takes part in the sum
        assert all(batch == step[0] for batch in batches[num_own:])
    if sharding == "fsdp":  # which exchanges weights in every forward
        assert len({len(batches) for batches, _ in shares}) == 1


# gloo's usual half hour is three seconds here, once the processes have met.
MAIN_FIRST = """
import sys, time
from datetime import timedelta
import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d
from qa.engine.distributed import join_world
meet = dist.init_process_group

def meet_then_hurry(*arguments, **options):
    meet(*arguments, **options)
    assert distributed_c10d.default_pg_timeout == timedelta(minutes=30)
    distributed_c10d.default_pg_timeout = timedelta(seconds=3)

dist.init_process_group = meet_then_hurry
world = join_world(torch.device("cpu"))
with world.main_first():
    if world.is_main:
        time.sleep(seconds)
        if fails:
            raise OSError("no cache")
    print(time.time())
world.leave()
sys.exit(0)
"""


def start_main_first(launcher: Launcher, seconds: float, fails: bool) -> list[Run]:
    port = free_port()
    script = f"seconds, fails = {seconds}, {fails}\n{MAIN_FIRST}"
    return [launcher.start([], as_rank(rank, 2, port) + script) for rank in range(2)]


@pytest.mark.e2e
def test_the_others_wait_longer_than_gloo_does(launcher: Launcher) -> None:
    runs = start_main_first(launcher, 5, fails=False)
    assert [run.wait() for run in runs] == [0, 0], [run.stderr for run in runs]
    assert float(runs[0].stdout) < float(runs[1].stdout)


@pytest.mark.e2e
def test_the_others_end_where_the_main_process_fails(launcher: Launcher) -> None:
    runs = start_main_first(launcher, 0, fails=True)
    assert [run.wait() for run in runs] == [1, 1], [run.stderr for run in runs]
    assert "OSError: no cache" in runs[0].stderr
    assert "RuntimeError" in runs[1].stderr
    assert runs[1].stdout == ""


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    world = join_world(torch.device("cpu"))
    assert (world.rank, world.size, world.is_main) == (0, 1, True)
    assert not torch.distributed.is_initialized()
    model = torch.nn.Linear(1, 1)
    assert world.wrap(model, torch.device("cpu"), "none") is model
    assert world.sum_ints([3, 4]) == [3, 4]
    assert world.gather("a") == ["a"]
    assert world.from_main("a") == "a"
    with world.main_first():
        pass
    world.leave()


def run_ranks(launcher: Launcher, size: int, script: str) -> list[Run]:
    """Run a script in so many processes until they end."""
    port = free_port()
    ranks = [as_rank(rank, size, port) if size > 1 else "" for rank in range(size)]
    runs = [launcher.start([], prelude + script) for prelude in ranks]
    for run in runs:
        run.wait()
    return runs


# Blocks within blocks, as ALBERT's and T5's; and a weight that no loss needs.
NESTED = """
import sys
import torch
from torch import nn
torch.set_num_threads(1)
from qa.engine import TrainConfig, TrainingRun, UserError, seed_everything
from qa.engine.distributed import join_world

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    def forward(self, x):
        for layer in self.inner:
            x = layer(x).tanh()
        return x

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.groups = nn.ModuleList([nn.ModuleList([Block()]), nn.ModuleList([Block()])])
        self.head = nn.Linear(4, 1)
        if unused:
            self.pooler = nn.Linear(4, 4)
    def forward(self, x):
        for group in self.groups:
            for block in group:
                x = block(x)
        return self.head(x)

world = join_world(torch.device("cpu"))
seed_everything(0)
config = TrainConfig(precision="fp32", device="cpu", max_steps=3, learning_rate=0.01,
    sharding=sharding if world.size > 1 else "none", gradient_accumulation_steps=2 // world.size)
rows = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
def loss_fn(model, batch):
    return model(batch["x"]).square().sum()
def collate(items):
    return {"x": torch.stack(items), "num_items": len(items)}
def order(epoch):
    return [[0, 1], [2, 3], [4, 5], [6, 7]]
run = TrainingRun(Model(), loss_fn, list(rows), order, collate, config, world=world)
try:
    losses = [float(out.loss) for out in run.steps()]
except UserError as error:
    print(error)
    sys.exit(3)
print(" ".join(f"{loss:.6f}" for loss in losses))
world.leave()
sys.exit(0)
"""


def run_nested(launcher: Launcher, size: int, sharding: str, unused: bool) -> list[Run]:
    return run_ranks(launcher, size, f"sharding, unused = {sharding!r}, {unused}\n{NESTED}")


@pytest.mark.e2e
def test_blocks_within_blocks_are_sharded(launcher: Launcher) -> None:
    (alone,) = run_nested(launcher, 1, "none", False)
    assert len(alone.stdout.split()) == 3, alone.stderr
    for run in run_nested(launcher, 2, "fsdp", False):
        assert run.stdout == alone.stdout, run.stderr


@pytest.mark.e2e
def test_a_weight_without_a_gradient_is_named_before_processes_differ(launcher: Launcher) -> None:
    (alone,) = run_nested(launcher, 1, "none", True)
    assert len(alone.stdout.split()) == 3, alone.stderr
    for run in run_nested(launcher, 2, "none", True):
        assert run.code == 3, run.stderr
        assert run.stdout.startswith("no gradient reaches 2 trained weights (pooler.weight,")


# What makes processes train apart, or add up what does not belong together.
APART = """
import sys
import torch
from torch import nn
torch.set_num_threads(1)
from qa.engine import TrainConfig, TrainingRun, UserError, seed_everything
from qa.engine.distributed import join_world

world = join_world(torch.device("cpu"))
seed_everything(0)
model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
if case == "thawed":
    model[0].requires_grad_(False)

def loss_fn(given, batch):
    net = model if case == "another name" else given
    if case == "a part":
        net = getattr(given, "module", given).forward
    loss = net(batch["x"]).square().sum()
    others = case == "other terms" or (case == "later terms" and len(losses) == 2)
    name = "b" if world.rank and others else "a"
    return loss, {name: loss}

def collate(items):
    return {"x": torch.stack(items), "num_items": len(items), "tokens": 3}

def order(epoch):
    return [[0, 1], [2, 3], [4, 5]]

rows = list(torch.randn(6, 4, generator=torch.Generator().manual_seed(1)))
config = TrainConfig(precision="fp32", device="cpu", max_steps=4, learning_rate=0.01)
run = TrainingRun(model, loss_fn, rows, order, collate, config, world=world)
losses, tokens = [], 0
try:
    for out in run.steps():
        losses.append(float(out.loss))
        tokens += out.counts["tokens"]
        if case == "thawed" and out.global_step == 2:
            model[0].requires_grad_(True)
            run.optimizers[0].add_param_group({"params": model[0].parameters(), "lr": 0.01})
        if case == "frozen" and out.global_step == 3:
            model[0].requires_grad_(False)
except UserError as error:
    print(len(losses), error)
    sys.exit(3)
print(tokens)
world.leave()
sys.exit(0)
"""


def run_apart(launcher: Launcher, size: int, case: str) -> list[Run]:
    return run_ranks(launcher, size, f"case = {case!r}\n{APART}")


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("case", "steps", "told"),
    [
        ("thawed", 2, "2 weights train that did not when the run was made (0.weight,"),
        ("frozen", 3, "2 weights were frozen since the run was made (0.weight, 0.bias); several"),
        ("another name", 0, "the processes have exchanged no gradients: their norms are"),
        ("a part", 0, "the processes have exchanged no gradients: their norms are"),
        (
            "other terms",
            0,
            "loss_fn returned the terms ['{}'] in one process and ['{}'] in",
        ),
        ("later terms", 2, "loss_fn returned the terms ['b'] after ['a']; with several processes"),
    ],
)
def test_processes_that_would_train_apart_end(
    case: str, steps: int, told: str, launcher: Launcher
) -> None:
    (alone,) = run_apart(launcher, 1, case)
    assert alone.code == 0, alone.stderr
    runs = run_apart(launcher, 2, case)
    for rank, run in enumerate(runs[1:] if case == "later terms" else runs):  # the other waits
        assert run.code == 3, run.stderr
        names = ("b", "a") if rank else ("a", "b")
        assert run.stdout.startswith(f"{steps} {told.format(*names)}")


@pytest.mark.e2e
def test_counts_have_their_names_in_a_process_without_a_micro_batch_of_its_own(
    launcher: Launcher,
) -> None:
    """Of an epoch's three one process gets two."""
    (alone,) = run_apart(launcher, 1, "")
    assert alone.stdout == "12\n", alone.stderr
    runs = run_apart(launcher, 2, "")
    assert [run.stdout for run in runs] == ["12\n", "6\n"], [run.stderr for run in runs]
