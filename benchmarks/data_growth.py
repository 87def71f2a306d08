"""`python -m benchmarks.data --growth`: the data of an epoch from more and more questions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import alternate, material
from benchmarks.memory import AnonymousMemory
from qa.data.formats import read_examples

BATCH_SIZE = 16


def grow(options: argparse.Namespace, folder: Path) -> list[dict[str, alternate.Run]]:
    """Prepare an epoch of more and more questions."""
    examples = read_examples(options.data)
    rounds = []
    for _ in range(options.repeats):
        results = {}
        for copies in options.growth:
            path = folder / f"{copies}.json"
            material.write_copies(examples, copies, path)
            given = argparse.Namespace(**{**vars(options), "data": str(path)})
            arguments = material.arguments_for_runs(given, material.SHARED)
            run = alternate.measure("benchmarks.data", ["epoch"], arguments)
            results[f"{copies}x"] = run["epoch"]
            path.unlink()
        rounds.append(results)
    columns = ["questions", "seconds", "read_s", "windows_s", "epoch_s", "ms_per_question"]
    columns += ["anonymous_gib", "peak_gib"]
    print(alternate.table(alternate.medians(rounds), columns))
    first, *others = rounds[0]
    for other in others:
        for figure in ("ms_per_question", "anonymous_gib", "peak_gib"):
            alternate.print_ratios(rounds, other, first, figure)
    return rounds


def prepare_epoch(options: argparse.Namespace) -> alternate.Run:
    """Read, cut windows, and make every batch of an epoch as `TrainingRun` does."""
    import datasets  # noqa: F401
    from torch.utils.data import DataLoader

    from qa.cli.startup import no_collection
    from qa.data.batches.collate import Collator
    from qa.data.batches.training_order import TrainingOrder
    from qa.data.windows.cache import cached_windows
    from qa.models.pretrained import load_tokenizer

    laps = alternate.Laps()
    memory = AnonymousMemory()
    tokenizer = load_tokenizer(options.model)
    laps.end("load")
    with material.temporary_folder() as folder:
        with no_collection():  # as train.py does
            examples = read_examples(options.data)
            laps.end("read")
            windows = cached_windows(examples, tokenizer, material.window_options(options), folder)
            laps.end("windows")
        order = TrainingOrder(
            np.asarray(windows["length"][:]),
            np.asarray(windows["has_answer"][:]),
            1.0,
            BATCH_SIZE,
            42,
            groups_lengths=False,
        )
        collator: Any = Collator(options.max_seq_length)
        loader: Any = DataLoader(windows, batch_sampler=order(0), collate_fn=collator)
        for _ in loader:
            pass
        laps.end("epoch")
    load = laps.seconds.pop("load")  # does not depend on the data
    seconds = sum(laps.seconds.values())
    return {
        "questions": len(examples),
        "windows": len(windows),
        "load_s": load,
        "seconds": seconds,
        **{f"{part}_s": value for part, value in laps.seconds.items()},
        "ms_per_question": 1000 * seconds / len(examples),
        "anonymous_gib": memory.peak(),
    }
