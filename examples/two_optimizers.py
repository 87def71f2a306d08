"""How far is a place from a circle? Learned by Muon and AdamW together, with a gradient penalty.

    python examples/two_optimizers.py runs/distance [--steps 400] [--optimizer PATH --rate 0.01]

The data is noisy; the loss asks for a gradient of length 1, as a distance has. Its parts are terms,
logged as means per item. Muon trains the hidden matrix, AdamW the rest; the rates go through one
cycle, momentum through the opposite one, in the loop's body. The mean of the weights is torch's.
Another optimizer goes by its path, e.g. torch.optim.SGD, and --rate. After a kill it ends the same.
"""

import argparse
import math
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from qa import engine


def distances(places: Tensor) -> Tensor:
    return places.square().sum(dim=1, keepdim=True).sqrt() - 0.5


def order(epoch: int) -> list[list[int]]:
    return engine.length_grouped_batches(np.ones(2000), 100, seed=1, epoch=epoch)


def collate(items: list[Tensor]) -> dict[str, Any]:
    rows = torch.stack(items)
    return {"x": rows[:, :2], "y": rows[:, 2:], "num_items": len(items)}


def loss_fn(model: nn.Module, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
    x = batch["x"].requires_grad_()
    y = model(x)
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    fit, penalty = ((y - batch["y"]) ** 2).sum(), ((gradient.norm(dim=1) - 1) ** 2).sum()
    return fit + 0.1 * penalty, {"fit": fit, "penalty": penalty}


def optimizers(model: Any, path: str, rate: float) -> Any:
    if path == "muon":
        rest = [p for p in model.parameters() if p is not model[2].weight]
        return torch.optim.Muon([model[2].weight], lr=0.02), torch.optim.AdamW(rest, lr=0.01)
    module, _, name = path.rpartition(".")
    optimizer = getattr(import_module(module), name)(model.parameters(), lr=rate)
    if hasattr(optimizer, "train"):  # schedule-free has two modes, as a model has
        optimizer.train()
    return optimizer


def one_cycle(step: int, total: int) -> float:
    return 0.5 - 0.5 * math.cos(2 * math.pi * (step + 1) / (total + 1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--optimizer", default="muon")
    parser.add_argument("--rate", type=float, default=0.01)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine.seed_everything(1)
    places, held_out = (2 * torch.rand(3000, 2) - 1).split([2000, 1000])
    data = torch.cat([places, distances(places) + 0.05 * torch.randn(2000, 1)], 1)
    net = nn.Sequential(nn.Linear(2, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 1))
    config = engine.TrainConfig(max_steps=arguments.steps, precision="fp32")
    make = partial(optimizers, path=arguments.optimizer, rate=arguments.rate)
    run = engine.TrainingRun(
        net, loss_fn, data, order, collate, config, optimizer=make, schedule=one_cycle
    )
    engine.check_split(run, list(data[:16]))
    mean = AveragedModel(run.model, multi_avg_fn=get_ema_multi_avg_fn(0.98)).eval()
    writer = engine.CheckpointWriter(arguments.output_dir / "checkpoints", limit=2)
    if engine.list_checkpoints(writer.directory):
        state = engine.load_newest_checkpoint(writer.directory, print)[1]
        run.load_state_dict(state["run"])
        mean.load_state_dict(state["mean"])
    tb = engine.TensorBoard(arguments.output_dir / "tensorboard", run.global_step)
    with engine.StopSignals() as signals:
        for out in run.steps():
            mean.update_parameters(run.model)
            momentum = 0.95 - 0.1 * one_cycle(out.global_step, run.total_steps)
            run.optimizers[0].param_groups[0]["momentum"] = momentum  # not all look at it
            if out.is_due(10):
                tb.scalars({"loss": out.loss, **out.terms}, out.global_step)
            if out.is_due(50):
                with run.evaluation():
                    x = run.to_device(held_out)
                    error = (mean(x) - distances(x)).abs().mean()
                tb.scalars({"held-out error": error}, out.global_step)
                print(f"step {out.global_step}: held-out error {float(error):.4f}")
            if out.is_due(25) or signals.received:
                tb.flush()
                state = {"run": run.state_dict(), "mean": mean.state_dict()}
                writer.save(out.global_step, state, {})
            if signals.received:
                raise SystemExit(128 + signals.received)
    tb.close()


if __name__ == "__main__":
    main()
