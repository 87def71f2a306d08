"""Digits, drawn here and distorted anew in every epoch, by data workers, and resumed exactly.

    python examples/digits.py runs/digits [--steps 400]

A generator in a data worker is in no checkpoint. So the index of an item is a key, `(item, epoch)`,
and its distortion a function of that. The loss has label smoothing, the accuracy is a term of it.
Every epoch is evaluated, and the best one's checkpoint stays. After Ctrl-C or a kill the same
command goes on from the newest checkpoint; on a CPU it ends with the same weights, bit for bit.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qa import engine

# The corners of the line of 0, 1, ..., 9, as xy on a grid of 5 x 7.
LINES = """10 30 41 45 36 16 05 01 10; 11 20 26; 01 10 30 41 42 06 46; 00 40 23 33 44 45 36 16 05;
36 30 04 44; 40 00 03 33 44 45 36 16 05; 30 10 02 05 16 36 45 44 33 03; 00 40 16;
13 02 01 10 30 41 42 33 13 04 05 16 36 45 44 33; 43 13 02 01 10 30 41 44 26""".split(";")
PIXELS = torch.cartesian_prod(torch.arange(-2.0, 14), torch.arange(-4.0, 12)).flip(1)[:, None]
SIZE = 500  # the first so many items are for training, as many more are held out


def draw(digit: int, rng: torch.Generator) -> Tensor:
    """Draw a digit with an unsteady hand: (1, 16, 16), 1 where its line is."""
    corners = torch.tensor([[float(c) for c in xy] for xy in LINES[digit].split()])
    corners = 2 * corners + 0.5 * torch.randn(corners.shape, generator=rng)
    start, way = corners[:-1], corners.diff(dim=0)
    nearest = (((PIXELS - start) * way).sum(-1) / (way**2).sum(-1)).clamp(0, 1)[..., None]
    gaps = PIXELS - start - nearest * way  # from each part of the line to each pixel
    return torch.exp(-(gaps.norm(dim=-1).amin(1) ** 2)).view(1, 16, 16)


class Digits:
    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        item, epoch = key
        image = draw(item % 10, torch.Generator().manual_seed(item))
        rng = torch.Generator().manual_seed(1_000_003 * epoch + item)
        change = torch.eye(2, 3) + 0.15 * torch.randn(2, 3, generator=rng)
        grid = F.affine_grid(change[None], [1, 1, 16, 16], align_corners=False)
        image = F.grid_sample(image[None], grid, align_corners=False)[0]
        return image + 0.2 * torch.randn(image.shape, generator=rng), item % 10


def order(epoch: int) -> list[list[tuple[int, int]]]:
    batches = engine.length_grouped_batches(np.ones(SIZE), 32, seed=1, epoch=epoch)
    return [[(item, epoch) for item in batch] for batch in batches]


def collate(items: list[tuple[Tensor, int]]) -> dict[str, Any]:
    images, labels = zip(*items, strict=True)
    return {"x": torch.stack(images), "y": torch.tensor(labels), "num_items": len(items)}


def loss_fn(model: nn.Module, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
    scores = model(batch["x"])
    loss = F.cross_entropy(scores, batch["y"], label_smoothing=0.1, reduction="sum")
    return loss, {"accuracy": (scores.argmax(1) == batch["y"]).sum()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine.seed_everything(1)
    layers = [nn.Conv2d(1, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2)]
    net = nn.Sequential(*layers, nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    config = engine.TrainConfig(5e-3, max_steps=arguments.steps, num_workers=2, precision="fp32")
    run = engine.TrainingRun(net, loss_fn, Digits(), order, collate, config)
    engine.check_split(run, [Digits()[key] for key in order(0)[0]])
    held_out = run.to_device(collate([Digits()[item, 0] for item in range(SIZE, 2 * SIZE)]))
    tracker = engine.BestTracker("accuracy")
    writer = engine.CheckpointWriter(arguments.output_dir / "checkpoints", limit=1)
    if engine.list_checkpoints(writer.directory):
        state = engine.load_newest_checkpoint(writer.directory, print)[1]
        run.load_state_dict(state["run"])
        tracker.load_state_dict(state["tracker"])
    tb = engine.TensorBoard(arguments.output_dir / "tensorboard", run.global_step)
    with engine.StopSignals() as signals:
        for out in run.steps():
            if out.is_due(10):
                tb.scalars({"loss": out.loss, **out.terms}, out.global_step)
            if out.is_due("epoch"):
                with run.evaluation() as model:
                    accuracy = float(loss_fn(model, held_out)[1]["accuracy"]) / SIZE
                tracker.update(out.global_step, {"accuracy": accuracy})
                tb.scalars({"held-out accuracy": accuracy}, out.global_step)
            if out.is_due(10) or out.is_due("epoch") or signals.received:
                tb.flush()
                state = {"run": run.state_dict(), "tracker": tracker.state_dict()}
                best = (int(tracker.best["step"]),) if tracker.best else ()
                writer.save(out.global_step, state, {}, keep_steps=best)
            if signals.received:
                raise SystemExit(128 + signals.received)
    tb.close()
    print(f"best: {tracker.best}")


if __name__ == "__main__":
    main()
