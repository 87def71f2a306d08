"""What is each character of a line of Python? A BERT of transformers, trained from scratch.

    python examples/token_classification.py runs/tokens [--steps 300]

The loss that such a model returns is a mean, so take its logits: `loss_fn` returns the sum over the
characters that have a label, `num_items` counts them, and `check_split` would name a mean at once.
The classifier has a rate of its own. The data is the standard library, labelled by its tokenizer.
Run it again after Ctrl-C or a kill: on a CPU it ends with the same weights, bit for bit.
"""

import argparse
import fractions
import inspect
import io
import keyword
import tarfile
import tokenize
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig, BertForTokenClassification

from qa import engine

KINDS = ["keyword", "NAME", "NUMBER", "STRING", "COMMENT", "OP"]
NO_LABEL = -100  # spaces, tokens of several lines, and what fills up the lines of a batch


def labelled_lines(module: ModuleType) -> list[tuple[Tensor, Tensor]]:
    """Return (characters, the kind of each) of every line of the module that has such."""
    source = inspect.getsource(module)
    lines = [torch.tensor([min(ord(c), 127) for c in line]) for line in source.splitlines()]
    labels = [torch.full(line.shape, NO_LABEL) for line in lines]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind in KINDS and token.start[0] == token.end[0]:
            number = 0 if keyword.iskeyword(token.string) else KINDS.index(kind)
            labels[token.start[0] - 1][token.start[1] : token.end[1]] = number
    return [(x, y) for x, y in zip(lines, labels, strict=True) if (y != NO_LABEL).any()]


TRAINING, HELD_OUT = labelled_lines(tarfile), labelled_lines(fractions)


def order(epoch: int) -> list[list[int]]:
    lengths = np.array([len(characters) for characters, _ in TRAINING])
    return engine.length_grouped_batches(lengths, 32, seed=1, epoch=epoch)


def collate(items: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    x = pad_sequence([x for x, _ in items], batch_first=True)
    y = pad_sequence([y for _, y in items], batch_first=True, padding_value=NO_LABEL)
    return {"x": x, "mask": (x > 0).long(), "y": y, "num_items": int((y != NO_LABEL).sum())}


def loss_fn(model: nn.Module, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
    scores = model(input_ids=batch["x"], attention_mask=batch["mask"]).logits.transpose(1, 2)
    loss = F.cross_entropy(scores, batch["y"], ignore_index=NO_LABEL, reduction="sum")
    return loss, {"accuracy": (scores.argmax(1) == batch["y"]).sum()}


def held_out_accuracy(run: engine.TrainingRun) -> float:
    batches = [collate(HELD_OUT[i : i + 64]) for i in range(0, len(HELD_OUT), 64)]
    with run.evaluation() as model:
        right = [float(loss_fn(model, run.to_device(batch))[1]["accuracy"]) for batch in batches]
    return float(sum(right) / sum(batch["num_items"] for batch in batches))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine.seed_everything(1)
    sizes = {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 256, "num_labels": 6}
    bert = BertConfig(**sizes, num_hidden_layers=2, num_attention_heads=4)
    config = engine.TrainConfig(2e-3, max_steps=arguments.steps, precision="fp32")
    optimizer = partial(engine.adamw, config=config, learning_rates={"classifier.": 1e-2})
    model = BertForTokenClassification(bert)
    run = engine.TrainingRun(model, loss_fn, TRAINING, order, collate, config, optimizer=optimizer)
    engine.check_split(run, TRAINING[:16])
    writer = engine.CheckpointWriter(arguments.output_dir / "checkpoints", limit=2)
    if engine.list_checkpoints(writer.directory):
        run.load_state_dict(engine.load_newest_checkpoint(writer.directory, print)[1])
    tb = engine.TensorBoard(arguments.output_dir / "tensorboard", run.global_step)
    with engine.StopSignals() as signals:
        for out in run.steps():
            if out.is_due(10):
                tb.scalars({"loss": out.loss, **out.terms}, out.global_step)
            if out.is_due(50):
                tb.scalars({"held-out accuracy": held_out_accuracy(run)}, out.global_step)
            if out.is_due(25) or signals.received:
                tb.flush()
                writer.save(out.global_step, run.state_dict(), {"loss": float(out.loss)})
            if signals.received:
                raise SystemExit(128 + signals.received)
    tb.close()
    print(f"{held_out_accuracy(run):.1%} of the characters of fractions.py are labelled right")


if __name__ == "__main__":
    main()
