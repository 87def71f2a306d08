"""A run with data workers that fails ends, and says why; a fork of it leaves its workers alone."""

from __future__ import annotations

import time

import pytest
from support.runs import Launcher, as_rank, free_port

from benchmarks.hangs import LIMIT, MESSAGES, failing_script

pytestmark = pytest.mark.e2e

SECONDS = 10.0  # from the failure to the end, on a machine that does much else


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("where", MESSAGES)
def test_a_failure_in_another_project_ends_it(where: str, workers: int, launcher: Launcher) -> None:
    run = launcher.start([], failing_script(where, workers))
    assert run.wait(LIMIT) == 1
    assert time.time() - float(run.stdout) < SECONDS
    assert MESSAGES[where] in run.stderr
    assert "atexit" not in run.stderr


def test_a_failure_in_one_of_two_processes_ends_both(launcher: Launcher) -> None:
    """The micro-batch that is broken is the first process's; nobody ends the other from outside."""
    port = free_port()
    runs = [launcher.start([], as_rank(n, 2, port) + failing_script("loss", 2)) for n in range(2)]
    assert [run.wait(LIMIT) for run in runs] == [1, 1]
    assert time.time() - float(runs[0].stdout) < SECONDS
    assert MESSAGES["loss"] in runs[0].stderr
    assert "RuntimeError" in runs[1].stderr


FORKS = (
    failing_script("nowhere", 2).replace("num_train_epochs=1000", "num_train_epochs=2")
    + """
    if out.global_step == 5:
        pid = os.fork()
        if pid == 0:
            sys.exit(7)  # through all that is registered for an exit
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
print(run.global_step)
sys.exit(0)
"""
)


def test_a_fork_that_exits_does_not_kill_the_workers(launcher: Launcher) -> None:
    run = launcher.run([], FORKS)
    assert run.code == 0, run.stderr
    assert run.stdout == "64\n"
    assert "kill_workers" not in run.stderr  # multiprocessing's own function complains


STREAM = """
import sys
import torch
from torch.utils.data import DataLoader
from qa import engine

class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 640

    def __getitem__(self, index):
        return torch.ones(4)

def collate(items):
    return {"x": torch.stack(items), "num_items": len(items)}

class Wrapped:
    def __iter__(self):
        yield from loader

loader = DataLoader(
    Rows(), 4, collate_fn=collate, num_workers=2, worker_init_fn=engine.ignore_stop_signals,
    generator=torch.Generator(),
)
config = engine.TrainConfig(device="cpu", precision="fp32", max_steps=3)
data = Wrapped() if wraps else loader
run = engine.TrainingRun(
    torch.nn.Linear(4, 1), lambda model, batch: model(batch["x"]).sum(), data, None, None, config
)
kept.append(run)  # as a module's global lives until the interpreter is gone
print(len(list(run.steps())))
sys.exit(0)
"""


@pytest.mark.parametrize("wraps", [False, True])
def test_a_run_on_a_loader_with_workers_as_a_stream_ends(wraps: bool, launcher: Launcher) -> None:
    """The workers ignore the signal with which multiprocessing ends them."""
    kept = "import builtins\nkept = builtins.kept = []\n"
    run = launcher.start([], f"wraps = {wraps}\n{kept}{STREAM}")
    assert run.wait(LIMIT) == 0, run.stderr
    assert run.stdout == "3\n"


POOL = """
import sys
from multiprocessing import Pool
import torch
from qa import engine

class Pooled:
    def __iter__(self):
        with Pool(2) as pool:
            for number in pool.imap(float, range(1000)):
                yield {"x": torch.full((4, 4), number), "num_items": 4}

config = engine.TrainConfig(device="cpu", precision="fp32", max_steps=3)
model, loss_fn = torch.nn.Linear(4, 1), lambda model, batch: model(batch["x"]).sum()
run = engine.TrainingRun(model, loss_fn, Pooled(), None, None, config)
steps = run.steps()
print(next(steps).global_step)
kept.append((run, steps))
sys.exit(0)
"""


def test_a_run_on_a_pool_ends_as_the_pool_does(launcher: Launcher) -> None:
    kept = "import builtins\nkept = builtins.kept = []\n"
    run = launcher.start([], kept + POOL)
    assert run.wait(LIMIT) == 0, run.stderr


def test_an_error_of_the_data_set_is_not_taken_for_a_death(launcher: Launcher) -> None:
    """Such as a file that is missing, which looks like a worker's connection."""
    script = failing_script("data set", 2).replace("raise RuntimeError", "raise FileNotFoundError")
    run = launcher.run([], script)
    assert run.code == 1
    assert "FileNotFoundError: broken data set" in run.stderr
    assert "died with exit code" not in run.stderr
