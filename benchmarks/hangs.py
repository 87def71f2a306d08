"""Let short trainings with data workers fail in every way, and time how each comes to its end.

    python -m benchmarks.hangs [--rounds 3]

A script such as another project writes, with 1 and 2 data workers: a worker is killed, or there is
an exception in the data set, in the collator, in the loss or in the loop's body. 30 failures by
default. Exit code 1 if one of them does not end, or ends without saying why.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from itertools import product

# It expects `where` and `workers`. The time of the failure is printed where it happens, which may
# be in a data worker.
SCRIPT = """
import multiprocessing, os, signal, sys, time
import torch
from qa.engine import TrainConfig, TrainingRun
from qa.engine.distributed import join_world
torch.set_num_threads(1)

def fail(place):
    if place == where:
        print(time.time(), flush=True)
        raise RuntimeError(f"broken {place}")

class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        if index == 40:
            fail("data set")
        return torch.full((4,), float(index))

def collate(items):
    if items[0][0] == 40:
        fail("collator")
    return {"x": torch.stack(items), "num_items": len(items)}

def loss_fn(model, batch):
    if batch["x"][0, 0] == 40:
        fail("loss")
    return model(batch["x"]).square().sum()

def order(epoch):
    return [[first, first + 1] for first in range(0, 64, 2)]

config = TrainConfig(device="cpu", num_workers=workers, num_train_epochs=1000)
world = join_world(torch.device("cpu"))
run = TrainingRun(torch.nn.Linear(4, 1), loss_fn, Rows(), order, collate, config, world=world)
steps = run.steps()  # under a name, which keeps the workers alive after an exception
for out in steps:
    if out.global_step == 20:
        fail("loop body")
        if where == "worker":
            print(time.time(), flush=True)
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
"""

MESSAGES = {
    "worker": "DataLoader worker",  # torch's words: "... (pid 1) is killed by signal: Killed."
    "data set": "broken data set",
    "collator": "broken collator",
    "loss": "broken loss",
    "loop body": "broken loop body",
}
LIMIT = 20.0  # seconds, after which a process counts as one that hangs


def failing_script(where: str, workers: int) -> str:
    """A script that fails in that place, one of `MESSAGES`."""
    return f"where, workers = {where!r}, {workers}\n{SCRIPT}"


def seconds_to_end(where: str, workers: int) -> float | None:
    """How long a failing script lives on; None if it hangs, or ends as if nothing had been."""
    process = subprocess.Popen(
        [sys.executable, "-c", failing_script(where, workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    failed = float(process.stdout.readline())
    try:
        _, errors = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()  # its workers notice that within seconds
        process.communicate()
        return None
    seconds = time.time() - failed
    if process.returncode == 1 and MESSAGES[where] in errors:
        return seconds
    print(errors, file=sys.stderr)
    return None


def main() -> int:
    """Run every failure; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hangs")
    parser.add_argument("--rounds", type=int, default=3, help="of 10 failures each (default 3)")
    options = parser.parse_args()
    found: list[float | None] = []
    for _, where, workers in product(range(options.rounds), MESSAGES, (1, 2)):
        found.append(seconds_to_end(where, workers))
        told = "does not end well" if found[-1] is None else f"ended after {found[-1]:.1f} s"
        print(f"{where}, {workers} workers: {told}", flush=True)
    ended = [seconds for seconds in found if seconds is not None]
    print(f"{len(ended)} of {len(found)} ended, slowest {max(ended, default=0.0):.1f} s")
    return 0 if len(ended) == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
