"""Training speed and memory: qa beside transformers' Trainer, alternating.

    python -m benchmarks.train [--model DIR --data FILE] [--attention-dropout 0.1]
    python -m benchmarks.train --device cuda --shape bert-base --only best,compiled,qa

All train the same model on the same windows with the same batch size and dropouts. An epoch over a
sample of windows warms up; the next is timed.

notebook  Trainer as the usual notebook calls it: fp32, every window padded to max_seq_length
best      Trainer at its best: bf16, padded per batch, grouped by length, SDPA, fused AdamW
qa        this project's loop with its defaults, in bf16, boundary head included
whole     the same without the boundary head, with --only whole,qa
fours     qa with each batch in micro-batches of 4 windows: the same gradient in less memory
compiled  best with torch_compile
tuned     compiled, without the filter of losses that are not finite, which waits for the device
layers    qa with --compile, graphs with --cuda-graphs auto, both with both; on CUDA

`utilisation` is the share of this machine's own matrix rate. A contestant that fails is told in a
line, and the others go on. What compiles does so in the epoch that warms up, for the shapes that it
meets there.

Needs the `bench` extra.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import alternate, material, random_model
from qa.data.windows.cache import cached_windows
from qa.engine.matrix_rate import matrix_rate
from qa.engine.precision import Precision
from qa.models.flops import count_flops
from qa.models.pretrained import load_tokenizer
from qa.models.span_reader import SpanReader

CONTESTANTS = ("notebook", "best", "qa")
ON_DEMAND = ("whole", "fours", "compiled", "tuned", "layers", "graphs", "both")
TRAINERS = ("notebook", "best", "compiled", "tuned")
LEARNING_RATE = 5e-5


def main() -> None:
    """Measure and print, or, called by itself, be one contestant."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train")
    material.add_arguments(parser)
    parser.add_argument("--attention-dropout", type=float, default=0.1)
    parser.add_argument("--hidden-dropout", type=float, default=0.1)
    parser.add_argument("--shape", choices=list(random_model.SHAPES), help=random_model.HELP)
    parser.add_argument("--steps", type=int, default=6, help="batches per epoch")
    parser.add_argument("--batch-size", type=int, default=16, help="windows per batch")
    parser.add_argument("--precision", default="bf16", help="of qa and of Trainer's best settings")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--only", help="names to run, with commas; notebook,best,qa by default")
    options = parser.parse_args()
    if options.contestant:
        alternate.report(run(options))
        return
    names = options.only.split(",") if options.only else list(CONTESTANTS)
    known = (*CONTESTANTS, *ON_DEMAND)
    if unknown := set(names) - set(known):
        parser.error(f"--only: {', '.join(sorted(unknown))}: not among {', '.join(known)}")
    with material.temporary_folder() as folder:
        if options.shape:
            count = options.steps * options.batch_size / (1 - options.holdout)
            random_model.complete(options, Path(folder), int(count) + 2)
        material.complete(options, Path(folder))
        own = ["attention_dropout", "hidden_dropout", "steps", "batch_size", "precision", "device"]
        arguments = material.arguments_for_runs(options, [*material.SHARED, *own])
        rounds = []
        for _ in range(options.repeats):
            rounds.append(alternate.measure("benchmarks.train", names, arguments, goes_on=True))
            names = list(rounds[-1])  # without those that failed
    if not names:
        raise SystemExit("error: every contestant failed")
    rounds = [{name: each[name] for name in names} for each in rounds]
    results = alternate.medians(rounds)
    columns = ["windows_per_s", "tokens_per_s", "utilisation", "padding_share", "peak_gib"]
    columns += ["device_gib"] if options.device == "cuda" else []
    print(alternate.table(results, columns))
    alternate.write(options.json, vars(options), rounds)
    for peer in [name for name in names if name != "qa" and "qa" in names]:
        ratios = [r["qa"]["windows_per_s"] / r[peer]["windows_per_s"] for r in rounds]
        kind = columns[-1]  # of the device if it has its own
        memory = results["qa"][kind] / results[peer][kind]
        print(
            f"qa / {peer}: {np.median(ratios):.2f} x windows/s ({min(ratios):.2f} to"
            f" {max(ratios):.2f} over {len(ratios)} rounds), {memory:.2f} x peak memory"
        )


def run(options: argparse.Namespace) -> alternate.Run:
    """Train as one contestant; its figures in the timed epoch."""
    logging.disable(logging.WARNING)
    tokenizer = load_tokenizer(options.model)
    training, _ = material.read_parts(options)
    windows = cached_windows(training, tokenizer, material.window_options(options))
    rng = np.random.default_rng(0)
    chosen = rng.choice(
        len(windows), min(len(windows), options.steps * options.batch_size), replace=False
    )
    sample = windows.select(np.sort(chosen))
    train = train_with_trainer if options.contestant in TRAINERS else train_with_qa
    seconds, num_positions, precision = train(options, sample)
    lengths = np.asarray(sample["length"][:]).astype(np.int64)
    flops = count_flops(SpanReader.from_pretrained(options.model))
    operations = flops.training(int(lengths.sum()), int((lengths**2).sum()))
    # The limit is the same for all: the fastest format that the machine multiplies.
    device = torch.device(options.device)
    rate = max(matrix_rate(Precision(p, device)) for p in {"fp32", options.precision, precision})
    on_cuda = device.type == "cuda"
    return {
        **({"device_gib": torch.cuda.max_memory_allocated() / 2**30} if on_cuda else {}),
        "windows_per_s": len(sample) / seconds,
        "tokens_per_s": lengths.sum() / seconds,
        "utilisation": operations / seconds / rate,
        "padding_share": 1 - lengths.sum() / num_positions,
    }


def train_with_qa(options: argparse.Namespace, sample: Any) -> tuple[float, int, str]:
    """A few epochs of TrainingRun; (seconds of the last, token positions computed, format)."""
    from qa.data.batches.collate import Collator
    from qa.data.batches.training_order import TrainingOrder
    from qa.engine.config import TrainConfig
    from qa.engine.loop import TrainingRun
    from qa.engine.rng import seed_everything
    from qa.models.loss import reader_loss

    seed_everything(42)
    reader = SpanReader.from_pretrained(
        options.model,
        options.attention_dropout,
        options.hidden_dropout,
        boundaries=options.contestant != "whole",
    )
    accumulation = 4 if options.contestant == "fours" else 1
    order = TrainingOrder(
        np.asarray(sample["length"][:]),
        np.ones(len(sample), dtype=bool),
        1.0,
        options.batch_size // accumulation,
        42,
        groups_lengths=not reader.is_packed,
    )
    device, longest = torch.device(options.device), options.max_seq_length
    name = options.contestant
    reader.to(device).prepare(Precision(options.precision, device), name in ("layers", "both"))
    collator = Collator(longest, *reader.batch_form(device, longest, trains=True))
    epochs = 3 if name in ("graphs", "both") else 2  # a graph is recorded when a shape comes again
    config = TrainConfig(
        learning_rate=LEARNING_RATE,
        num_train_epochs=epochs,
        gradient_accumulation_steps=accumulation,
        precision=options.precision,
        device=options.device,
        cuda_graphs="auto" if name in ("graphs", "both") else "off",
    )
    trained = TrainingRun(reader, reader_loss, sample, order, collator, config)
    num_positions, started, ended = 0, 0.0, 0.0
    for out in trained.steps():
        if out.end_of_epoch:
            wait_for(options.device)
        ended = time.perf_counter()
        if out.epoch > epochs - 1:
            num_positions += out.counts["num_positions"]
        elif out.end_of_epoch:
            started = ended
    return ended - started, num_positions, trained.precision.name


def train_with_trainer(options: argparse.Namespace, sample: Any) -> tuple[float, int, str]:
    """Two epochs with transformers' Trainer; likewise."""
    from transformers import (
        AutoConfig,
        AutoModelForQuestionAnswering,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        set_seed,
    )

    class Clock(TrainerCallback):
        """Notes when the epochs begin and end."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            wait_for(options.device)
            self.times.append(time.perf_counter())

    set_seed(42)
    tokenizer = load_tokenizer(options.model)
    config = AutoConfig.from_pretrained(options.model)
    config.attention_probs_dropout_prob = options.attention_dropout
    config.hidden_dropout_prob = options.hidden_dropout
    model = AutoModelForQuestionAnswering.from_pretrained(
        options.model, config=config, dtype=torch.float32
    )
    is_best = options.contestant != "notebook"
    best = {
        "bf16": options.precision == "bf16",
        "train_sampling_strategy": "group_by_length",
        "length_column_name": "length",
        "optim": "adamw_torch_fused",
        "torch_compile": options.contestant in ("compiled", "tuned"),
        "logging_nan_inf_filter": options.contestant != "tuned",
    }
    # A list in memory, so that reading is the same for all.
    names = [n for n in ("input_ids", "token_type_ids") if n in sample.column_names]
    rows = [
        {
            **{name: row[name].tolist() for name in names},
            "start_positions": int(row["start_position"]),
            "end_positions": int(row["end_position"]),
            "length": int(row["length"]),
        }
        for row in sample
    ]
    collator = CountingCollator(
        DataCollatorWithPadding(
            tokenizer,
            padding="longest" if is_best else "max_length",
            max_length=options.max_seq_length,
            pad_to_multiple_of=8 if is_best else None,
        )
    )
    clock = Clock()
    with material.temporary_folder() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=options.batch_size,
                num_train_epochs=2,
                learning_rate=LEARNING_RATE,
                use_cpu=options.device == "cpu",
                report_to=[],
                save_strategy="no",
                logging_steps=500,
                disable_tqdm=True,
                remove_unused_columns=False,
                **(best if is_best else {}),
            ),
            train_dataset=Rows(rows),
            data_collator=collator,
            callbacks=[clock],
        )
        trainer.train()
    first, second = clock.times
    precision = options.precision if is_best else "fp32"
    return second - first, collator.num_positions // 2, precision


def wait_for(device: str) -> None:
    """Let a CUDA device finish what it was given, before the clock is read."""
    if device == "cuda":
        torch.cuda.synchronize()


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """A list as a data set, with the column that grouping by length asks for."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.column_names = list(rows[0])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | str) -> Any:
        if isinstance(index, str):
            return [row[index] for row in self.rows]
        return self.rows[index]


class CountingCollator:
    """Counts the positions of the batches that another collator makes."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate
        self.num_positions = 0

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        batch = self.collate([{k: v for k, v in row.items() if k != "length"} for row in rows])
        self.num_positions += batch["input_ids"].numel()
        return batch


if __name__ == "__main__":
    main()
