"""What a checkpoint costs: seconds the training waits, and bytes on disk.

    python -m benchmarks.checkpoint [--model DIR_OR_HUB_ID] [--repeats 5]

Saves a model with its AdamW state in the foreground and in the background (--async-save) in turn.
Without --model it uses the quickstart's small BERT.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from qa.engine.checkpoint_writer import CheckpointWriter
from qa.engine.config import TrainConfig
from qa.engine.optim import adamw
from qa.models.span_reader import SpanReader


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkpoint")
    parser.add_argument("--model", help="directory or hub id; the quickstart's model by default")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    state = make_state(options.model)
    seconds: dict[str, list[float]] = {"foreground": [], "background": []}
    with tempfile.TemporaryDirectory() as folder:
        for step in range(options.repeats):
            for name, times in seconds.items():
                directory = Path(folder) / name
                writer = CheckpointWriter(directory, 1, background=name == "background")
                started = time.perf_counter()
                writer.save(step + 1, state, {})
                times.append(time.perf_counter() - started)
                writer.wait()
        size = sum(p.stat().st_size for p in Path(folder).glob("foreground/*/*"))
    print(f"size on disk: {size / 2**20:.0f} MiB")
    for name, times in seconds.items():
        print(
            f"{name:<12} blocked {statistics.median(times):.3f} s"
            f"  (min {min(times):.3f}, max {max(times):.3f}, {len(times)} runs)"
        )


def make_state(model: str | None) -> dict[str, Any]:
    """Model and optimizer state after one step."""
    if model is None:
        from qa.data.quickstart.passages import make_quickstart
        from qa.data.quickstart.tokenizer import train_tokenizer
        from qa.models.small_bert import small_bert_config

        train, _ = make_quickstart(0, 100, 20)
        reader = SpanReader.from_config(
            small_bert_config(train_tokenizer(e.context for e in train))
        )
    else:
        reader = SpanReader.from_pretrained(model)
    optimizer = adamw(reader, TrainConfig(learning_rate=1e-5))
    for parameter in reader.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {"model": reader.state_dict(), "optimizer": optimizer.state_dict()}


if __name__ == "__main__":
    main()
