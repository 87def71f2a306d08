"""What a training loop costs beside a bare one: microseconds of processor time a step.

    python -m benchmarks.engine [--model mlp|transformer] [--rounds 40] [--steps N]

Every contestant makes the same step: the same model and batches from a DataLoader, fp32, fused
AdamW, clipping, a cosine. accelerate, Fabric and transformers' Trainer take part if they are
installed. The contestants alternate within a round, and their order is reversed every round.
Processor time, since waiting for a busy machine is no cost of a loop; of the rounds the fastest
counts, since whatever disturbs adds.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from qa.engine import TrainConfig, TrainingRun, seed_everything

RATE, CLIP = 1e-3, 1.0
STEPS = {"mlp": 200, "transformer": 40}
Loop = Callable[[str, int], None]


def make_model(kind: str) -> nn.Module:
    """A model of a few small layers; the same one for a seed."""
    seed_everything(0)
    if kind == "mlp":
        sizes = (nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 1))
        return nn.Sequential(*sizes)
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    return nn.Sequential(
        nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(64, 1)
    )


def make_data(kind: str, steps: int) -> list[dict[str, torch.Tensor]]:
    """One item a step, which is a batch already."""
    shape = (32, 16) if kind == "mlp" else (8, 32, 64)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return [{"x": x, "y": x.mean(-1, keepdim=True)}] * steps


def first(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The batch that the only item is."""
    return items[0]


def first_counted(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The same with its number of items, which is known before it is on the device."""
    return {**items[0], "num_items": len(items[0]["x"])}


def loss_of(model: nn.Module, batch: Any) -> torch.Tensor:
    """The summed loss."""
    return nn.functional.mse_loss(model(batch["x"]), batch["y"], reduction="sum")


def parts(kind: str, steps: int) -> tuple[nn.Module, Any, Any, Any]:
    """The model, optimizer, schedule and loader of a loop that is written by hand."""
    model = make_model(kind)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    data: Any = make_data(kind, steps)
    return model, optimizer, schedule, DataLoader(data, 1, collate_fn=first)


def bare(kind: str, steps: int) -> None:
    """The loop that everybody writes."""
    model, optimizer, schedule, loader = parts(kind, steps)
    for batch in loader:
        batch = {name: value.to("cpu") for name, value in batch.items()}
        (loss_of(model, batch) / len(batch["x"])).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


def qa_engine(kind: str, steps: int) -> None:
    """The same with `qa.engine`."""
    config = TrainConfig(learning_rate=RATE, num_train_epochs=1, precision="fp32", device="cpu")
    data = make_data(kind, steps)

    def order(epoch: int) -> list[list[int]]:
        return [[i] for i in range(steps)]

    run = TrainingRun(make_model(kind), loss_of, data, order, first_counted, config)
    for _ in run.steps():
        pass


def accelerate(kind: str, steps: int) -> None:
    """The same with accelerate."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, optimizer, schedule, loader = accelerator.prepare(*parts(kind, steps))
    for batch in loader:
        with accelerator.accumulate(model):
            accelerator.backward(loss_of(model, batch) / len(batch["x"]))
            accelerator.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def fabric(kind: str, steps: int) -> None:
    """The same with Lightning's Fabric."""
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1)
    model, optimizer, schedule, loader = parts(kind, steps)
    model, optimizer = fabric.setup(model, optimizer)
    for batch in fabric.setup_dataloaders(loader):
        fabric.backward(loss_of(model, batch) / len(batch["x"]))
        fabric.clip_gradients(model, optimizer, max_norm=CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


class Returning(nn.Module):
    """A model that returns its loss, as Trainer wants it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": loss_of(self.model, {"x": x, "y": y}) / len(x)}


def trainer(kind: str, steps: int) -> None:
    """The same with transformers' Trainer."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    model, optimizer, schedule, _ = parts(kind, steps)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=1,
            max_steps=steps,
            use_cpu=True,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            max_grad_norm=CLIP,
        )
        data: Any = make_data(kind, steps)
        trainer = Trainer(
            Returning(model),
            arguments,
            data_collator=first,
            train_dataset=data,
            optimizers=(optimizer, schedule),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


LOOPS: dict[str, tuple[Loop, str]] = {  # with the package that it needs
    "bare": (bare, "torch"),
    "qa.engine": (qa_engine, "torch"),
    "Fabric": (fabric, "lightning_fabric"),
    "accelerate": (accelerate, "accelerate"),
    "Trainer": (trainer, "accelerate"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine")
    parser.add_argument("--model", choices=list(STEPS), default="mlp")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, help="of a round; 200 and 40 by default")
    flags = parser.parse_args()
    steps = flags.steps or STEPS[flags.model]
    torch.set_num_threads(1)
    loops = {name: loop for name, (loop, package) in LOOPS.items() if find_spec(package)}
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(-1, flags.rounds):  # the round before the first one warms up
        for name in list(loops)[:: 1 if number % 2 else -1]:
            began = time.process_time()
            loops[name](flags.model, 1)  # what a start costs, which is not a step's
            start = time.process_time() - began
            loops[name](flags.model, steps + 1)
            if number >= 0:
                took = time.process_time() - began - 2 * start
                seconds[name].append(took / steps)
    print(f"{flags.model}, {flags.rounds} rounds of {steps} steps")
    print(f"{'':<12}{'us a step':>10}{'ratio':>8}{'median of rounds':>18}")
    for name, each in seconds.items():
        rounds = statistics.median(a / b for a, b in zip(each, seconds["bare"], strict=True))
        print(
            f"{name:<12}{1e6 * min(each):>10.0f}{min(each) / min(seconds['bare']):>8.2f}"
            f"{rounds:>18.2f}"
        )


if __name__ == "__main__":
    main()
