"""Which docstring belongs to which name? Contrastive learning from a stream that never ends.

    python examples/contrastive_stream.py runs/docstrings [--steps 200]

The stream goes through the standard library and keeps what has a docstring: nobody knows how much
that is. Its `state_dict` is its place. Each pair is compared with all others of its batch, while
`torch.utils.checkpoint` holds the activations of only one chunk at a time: the gradient is that of
the whole batch, not of many small ones, as with accumulation. After a kill it ends the same.
"""

import argparse
import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from qa import engine

BATCH, BUCKETS = 128, 20_000
FILES = sorted(Path(ast.__file__).parent.glob("*.py"))


@cache
def names_and_docstrings(file: Path) -> list[tuple[str, str]]:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    kinds = (ast.FunctionDef, ast.ClassDef)
    pairs = [(node.name, ast.get_docstring(node)) for node in nodes if isinstance(node, kinds)]
    return [(name.lower(), text.splitlines()[0].lower()) for name, text in pairs if text]


def hashed_trigrams(texts: Iterable[str]) -> Tensor:
    rows = [[crc32(t[i : i + 3].encode()) % BUCKETS + 1 for i in range(len(t))] for t in texts]
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True)


class Stream:
    def __init__(self, files: list[Path]) -> None:
        self.files, self.file, self.used = files, 0, 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            pairs: list[tuple[str, str]] = []
            while len(pairs) < BATCH:
                left = names_and_docstrings(self.files[self.file])[self.used :]
                taken = left[: BATCH - len(pairs)]
                pairs, self.used = pairs + taken, self.used + len(taken)
                if taken == left:
                    self.file, self.used = (self.file + 1) % len(self.files), 0
            names, texts = map(hashed_trigrams, zip(*pairs, strict=True))
            yield {"names": names, "texts": texts, "num_items": BATCH}

    def state_dict(self) -> dict[str, Any]:
        return {"file": self.file, "used": self.used}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.file, self.used = state["file"], state["used"]


def embed(tower: nn.Module, x: Tensor) -> Tensor:
    return F.normalize(torch.cat([checkpoint(tower, c, use_reentrant=False) for c in x.split(64)]))


def loss_fn(model: nn.Module, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
    scores = 20 * embed(model, batch["names"]) @ embed(model, batch["texts"]).T
    own = torch.arange(BATCH, device=scores.device)
    return F.cross_entropy(scores, own, reduction="sum"), {"found": (scores.argmax(1) == own).sum()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine.seed_everything(1)
    bag = nn.EmbeddingBag(BUCKETS + 1, 64, mode="mean", padding_idx=0)
    tower = nn.Sequential(bag, nn.Dropout(0.1), nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64))
    held_out = next(iter(Stream(FILES[::8])))
    stream = Stream([file for file in FILES if file not in FILES[::8]])
    config = engine.TrainConfig(5e-3, max_steps=arguments.steps, precision="fp32")
    run = engine.TrainingRun(tower, loss_fn, stream, None, None, config)
    writer = engine.CheckpointWriter(arguments.output_dir / "checkpoints", limit=2)
    if engine.list_checkpoints(writer.directory):
        run.load_state_dict(engine.load_newest_checkpoint(writer.directory, print)[1])
    tb = engine.TensorBoard(arguments.output_dir / "tensorboard", run.global_step)
    with engine.StopSignals() as signals:
        for out in run.steps():
            if out.is_due(10):
                tb.scalars({"loss": out.loss, **out.terms}, out.global_step)
            if out.is_due(50):
                with run.evaluation() as model:
                    found = float(loss_fn(model, run.to_device(held_out))[1]["found"]) / BATCH
                tb.scalars({"held-out found": found}, out.global_step)
                print(f"step {out.global_step}: of {BATCH} docstrings {found:.0%} found")
            if out.is_due(25) or signals.received:
                tb.flush()
                writer.save(out.global_step, run.state_dict(), {"loss": float(out.loss)})
            if signals.received:
                raise SystemExit(128 + signals.received)
    tb.close()


if __name__ == "__main__":
    main()
