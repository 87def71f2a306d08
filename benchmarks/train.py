"""Training speed and memory: qa beside transformers' Trainer, alternating.

    python -m benchmarks.train [--model DIR --data FILE] [--attention-dropout 0.1]
    python -m benchmarks.train --device cuda --shape bert-base --only best,compiled,qa

All train the same model on the same windows with the same batch size and dropouts. An epoch over a
sample of windows warms up; the next is timed.

notebook  Trainer as the usual notebook calls it: fp32, every window padded to max_seq_length
best      Trainer at its best: bf16, padded per batch, grouped by length, SDPA, fused AdamW
qa        this project's loop with its defaults, in bf16, both heads of its own included
whole     the same without these heads, with --only whole,qa
fours     qa with each batch in micro-batches of 4 windows: the same gradient in less memory
compiled  best with torch_compile
tuned     compiled, without the filter of losses that are not finite, which waits for the device
layers    qa with --compile, graphs with --cuda-graphs auto, both with both; on CUDA

`utilisation` is the share of this machine's own matrix rate. A contestant that fails is told in a
line, and the others go on. What compiles does so in the epoch that warms up, for the shapes that it
meets there; a graph is recorded when a shape comes again, so give graphs and both --steps 48.

Needs the `bench` extra.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch

from benchmarks import alternate, material, random_model
from benchmarks.train_contestants import qa_loop, trainer
from qa.data.windows.cache import cached_windows
from qa.engine.matrix_rate import matrix_rate
from qa.engine.precision import Precision
from qa.models.flops import count_flops
from qa.models.pretrained import load_tokenizer
from qa.models.span_reader import SpanReader

CONTESTANTS = ("notebook", "best", "qa")
ON_DEMAND = ("whole", "fours", "compiled", "tuned", "layers", "graphs", "both")


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
    train = trainer.train if options.contestant in trainer.NAMES else qa_loop.train
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


if __name__ == "__main__":
    main()
