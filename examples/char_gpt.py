"""A character GPT on the language reference that comes with Python: 460,000 characters.

    python examples/char_gpt.py runs/char_gpt [--steps 400]

An index may be any place in the text: `places` draws them anew for each epoch, as a function of the
epoch, so that random crops resume exactly. The head is tied to the embedding, the optimizer has
betas of its own, and the rate has a minimum. After Ctrl-C or a kill the same command goes on from
the newest checkpoint; on a CPU it ends with the same weights, bit for bit.
"""

import argparse
import math
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qa import engine

LENGTH, WIDTH, BATCH, EPOCH = 64, 96, 16, 50  # an epoch is as many batches as we like
ALPHABET, CODES = np.unique(list("\n".join(topics.values())), return_inverse=True)
TEXT, HELD_OUT = torch.from_numpy(CODES).split([len(CODES) - 10_000, 10_000])
CROPS = TEXT.unfold(0, LENGTH + 1, 1)  # CROPS[i] begins at the i-th character; a view, no copies


def places(epoch: int) -> list[list[int]]:
    drawn = np.random.default_rng([1, epoch]).integers(len(CROPS), size=(EPOCH, BATCH))
    return [batch.tolist() for batch in drawn]


def collate(crops: list[Tensor]) -> dict[str, Any]:
    return {"crops": torch.stack(crops), "num_items": len(crops) * LENGTH}


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(len(ALPHABET), WIDTH)
        self.head = nn.Linear(WIDTH, len(ALPHABET), bias=False)
        self.head.weight = self.tokens.weight
        nn.init.normal_(self.head.weight, std=WIDTH**-0.5)
        self.places = nn.Parameter(torch.zeros(LENGTH, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, nn.LayerNorm(WIDTH), False)

    def forward(self, codes: Tensor) -> Any:
        causal = nn.Transformer.generate_square_subsequent_mask(codes.shape[1], codes.device)
        x = self.tokens(codes) + self.places[: codes.shape[1]]
        return self.head(self.layers(x, causal, is_causal=True))


def loss_fn(model: nn.Module, batch: Any) -> Tensor:
    logits = model(batch["crops"][:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), batch["crops"][:, 1:].flatten(), reduction="sum")


def betas(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.98), fused=True)


def min_rate(step: int, total: int) -> float:
    return min((step + 1) / 40, 0.55 + 0.45 * math.cos(math.pi * step / total))


def sample(run: engine.TrainingRun, text: str) -> str:
    codes = [int(np.searchsorted(ALPHABET, character)) for character in text]
    with run.evaluation() as model:
        for _ in range(300):
            logits = model(torch.tensor([codes[-LENGTH:]], device=run.device))[0, -1]
            codes.append(int(torch.multinomial(torch.softmax(logits / 0.7, 0), 1)))
    return "".join(ALPHABET[codes])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine.seed_everything(1)
    config = engine.TrainConfig(max_steps=arguments.steps, precision="fp32")
    run = engine.TrainingRun(
        GPT(), loss_fn, CROPS, places, collate, config, optimizer=betas, schedule=min_rate
    )
    engine.check_split(run, [CROPS[place] for place in places(0)[0]])
    held_out = run.to_device(collate(list(HELD_OUT.unfold(0, LENGTH + 1, LENGTH))))
    writer = engine.CheckpointWriter(arguments.output_dir / "checkpoints", limit=2)
    if engine.list_checkpoints(writer.directory):
        run.load_state_dict(engine.load_newest_checkpoint(writer.directory, print)[1])
    tb = engine.TensorBoard(arguments.output_dir / "tensorboard", run.global_step)
    with engine.StopSignals() as signals:
        for out in run.steps():
            if out.is_due(10):
                tb.scalars({"loss": out.loss, "rate": out.learning_rate}, out.global_step)
            if out.is_due("epoch"):
                with run.evaluation() as model:
                    loss = float(loss_fn(model, held_out)) / held_out["num_items"]
                tb.scalars({"held-out loss": loss}, out.global_step)
            if out.is_due(25) or signals.received:
                tb.flush()
                writer.save(out.global_step, run.state_dict(), {"loss": float(out.loss)})
            if signals.received:
                raise SystemExit(128 + signals.received)
    tb.close()
    print(sample(run, "The "))


if __name__ == "__main__":
    main()
