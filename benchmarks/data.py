"""The way of the data to the first step: windows from text, growth, and a warm start.

    python -m benchmarks.data [--model DIR --data FILE]
    python -m benchmarks.data --growth 1 5 20
    python -m benchmarks.data --start

The first cuts all questions into windows without a cache, imports and reading not counted, beside

tokenizer  the fast tokenizer alone, on every distinct question and context once, with offsets
pairs      the tokenizer as the usual script calls it: on every question with its context
qa         qa.data.cache.cached_windows; warm_s: the same again, from the cache

--growth reads a file with so many copies of the questions, cuts windows without a cache and walks
over the batches of an epoch, without a model. peak_gib counts the pages of the windows' file that
were looked at; anonymous_gib, where Linux tells it, does not: it is what has to fit into memory.
--start does what `train.py` does up to the end of the first step, with windows in the cache.
"""

from __future__ import annotations

import argparse
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import alternate, material
from qa.data.examples import Example
from qa.data.readers import read_examples

CONTESTANTS = ("tokenizer", "pairs", "qa")
TEXTS_PER_CALL = 1000  # as `datasets` calls it
BATCH_SIZE = 16


def main() -> None:
    """Measure and print, or, called by itself, be one contestant."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data")
    material.add_arguments(parser)
    parser.add_argument("--precision", default="bf16", help="with --start (default bf16)")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--growth", type=int, nargs="+", metavar="N", help="copies of the questions")
    ways.add_argument("--start", action="store_true", help="a warm start to the first step")
    options = parser.parse_args()
    if options.contestant:
        logging.disable(logging.WARNING)
        alternate.report(RUNS[options.contestant](options))
        return
    settings = dict(vars(options))
    with material.temporary_folder() as folder:
        material.complete(options, Path(folder))
        if options.growth:
            rounds = grow(options, Path(folder))
        elif options.start:
            rounds = start_warm(options, Path(folder))
        else:
            rounds = compare(options)
    alternate.write(options.json, settings, rounds)


def compare(options: argparse.Namespace) -> list[dict[str, alternate.Run]]:
    """Cut windows beside the tokenizer alone."""
    arguments = material.arguments_for_runs(options, material.SHARED)
    rounds = [
        alternate.measure("benchmarks.data", CONTESTANTS, arguments) for _ in range(options.repeats)
    ]
    print(alternate.table(alternate.medians(rounds), ["seconds", "warm_s", "windows", "peak_gib"]))
    for peer in CONTESTANTS[:-1]:
        print_ratios(rounds, "qa", peer, "seconds")
    return rounds


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
            print_ratios(rounds, other, first, figure)
    return rounds


def start_warm(options: argparse.Namespace, folder: Path) -> list[dict[str, alternate.Run]]:
    """Start a training whose windows are in the cache."""
    os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")  # of the runs
    names = [*material.SHARED, "precision"]
    arguments = material.arguments_for_runs(options, names)
    alternate.measure("benchmarks.data", ["start"], arguments)  # fills the cache
    rounds = [
        alternate.measure("benchmarks.data", ["start"], arguments) for _ in range(options.repeats)
    ]
    results = alternate.medians(rounds)
    columns = ["seconds", *(f for f in results["start"] if f.endswith("_s"))]
    print(alternate.table(results, columns))
    print(
        f"to the first step: {results['start']['seconds']:.1f} s; without loading the model and"
        f" without the step itself: {results['start']['own_s']:.1f} s"
    )
    return rounds


def print_ratios(
    rounds: Sequence[dict[str, alternate.Run]], name: str, peer: str, figure: str
) -> None:
    """Print a figure of one run divided by that of another."""
    ratios = [r[name][figure] / r[peer][figure] for r in rounds]
    print(
        f"{name} / {peer}: {np.median(ratios):.2f} x {figure} ({min(ratios):.2f} to"
        f" {max(ratios):.2f} over {len(ratios)} rounds)"
    )


def prepare(options: argparse.Namespace) -> tuple[Any, list[Example]]:
    """Tokenizer and all examples, with everything imported that is not to be timed."""
    import datasets  # noqa: F401

    from qa.models.pretrained import load_tokenizer

    return load_tokenizer(options.model), read_examples(options.data)


def tokenize_texts(options: argparse.Namespace) -> alternate.Run:
    """Every distinct text once."""
    tokenizer, examples = prepare(options)
    started = time.perf_counter()
    for texts in ({e.question for e in examples}, {e.context for e in examples}):
        for batch in in_batches(sorted(texts)):
            tokenizer(
                batch,
                add_special_tokens=False,
                return_offsets_mapping=True,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
    return {"seconds": time.perf_counter() - started}


def tokenize_pairs(options: argparse.Namespace) -> alternate.Run:
    """Every question with its context, cut into windows by the tokenizer."""
    tokenizer, examples = prepare(options)
    started = time.perf_counter()
    num_windows = 0
    for batch in in_batches(examples):
        windows = tokenizer(
            [e.question for e in batch],
            [e.context for e in batch],
            truncation="only_second",
            max_length=options.max_seq_length,
            stride=options.window_overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        num_windows += len(windows["input_ids"])
    return {"seconds": time.perf_counter() - started, "windows": num_windows}


def in_batches(items: list[Any]) -> list[list[Any]]:
    """Slices for the tokenizer."""
    return [items[i : i + TEXTS_PER_CALL] for i in range(0, len(items), TEXTS_PER_CALL)]


def cut_windows(options: argparse.Namespace) -> alternate.Run:
    """qa's windows, without a cache and with it."""
    from qa.data.cache import cached_windows

    tokenizer, examples = prepare(options)
    cut = material.window_options(options)
    seconds = []
    with material.temporary_folder() as folder:
        for _ in ("cold", "warm"):
            started = time.perf_counter()
            windows = cached_windows(examples, tokenizer, cut, folder)
            seconds.append(time.perf_counter() - started)
    return {"seconds": seconds[0], "warm_s": seconds[1], "windows": len(windows)}


def prepare_epoch(options: argparse.Namespace) -> alternate.Run:
    """Read, cut windows, and make every batch of an epoch as `TrainingRun` does."""
    import datasets  # noqa: F401
    from torch.utils.data import DataLoader

    from qa.data.cache import cached_windows
    from qa.data.collate import Collator
    from qa.data.order import TrainingOrder
    from qa.models.pretrained import load_tokenizer

    laps = alternate.Laps()
    memory = AnonymousMemory()
    tokenizer = load_tokenizer(options.model)
    laps.end("load")
    examples = read_examples(options.data)
    laps.end("read")
    with material.temporary_folder() as folder:
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


class AnonymousMemory:
    """The peak of this process's memory that is no file's, looked at 50 times a second."""

    def __init__(self) -> None:
        self._gib = [0.0]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            self._gib.append(anonymous_gib())

    def peak(self) -> float:
        """End the watch; the peak in GiB."""
        self._ended.set()
        self._thread.join()
        return max(self._gib)


def anonymous_gib() -> float:
    """What Linux says of this process; 0 elsewhere."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0.0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return float(lines["RssAnon"].split()[0]) / 2**20


def start(options: argparse.Namespace) -> alternate.Run:
    """What `train.py` does up to the end of the first step, with the time of its parts."""
    # What is imported late, too: not to count it as loading the model.
    import datasets  # noqa: F401
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer  # noqa: F401

    from qa import build
    from qa.arguments import Command
    from qa.config import Config, DataConfig, ModelConfig, OutputConfig
    from qa.engine.config import TrainConfig
    from qa.engine.signals import StopSignals
    from qa.session import Session

    laps = alternate.Laps()
    laps.end("imports")
    parts = {"read": "read_data", "model": "load_model", "windows": "cached_windows"}
    within = dict.fromkeys(parts, 0.0)
    for part, name in parts.items():
        setattr(build, name, timed(getattr(build, name), part, within))
    with material.temporary_folder() as folder:
        config = Config(
            data=DataConfig(
                train_data=options.data,
                holdout=options.holdout,
                max_seq_length=options.max_seq_length,
                window_overlap=options.window_overlap,
                per_device_train_batch_size=BATCH_SIZE,
            ),
            model=ModelConfig(model=options.model),
            train=TrainConfig(device="cpu", precision=options.precision),
            output=OutputConfig(output_dir=str(Path(folder) / "run")),
        )
        job = build.build_job(config, lambda line: None)
        laps.end("rest_of_build")
        laps.seconds["rest_of_build"] -= sum(within.values())
        command = Command(config, resume=False, overwrite=False)
        with StopSignals() as signals, Session(job, command, signals):
            laps.end("session")
            next(job.run.steps())
            laps.end("first_step")
    figures = {**laps.seconds, **within}
    seconds = sum(figures.values())
    own = seconds - figures["model"] - figures["first_step"]
    return {"seconds": seconds, "own_s": own, **{f"{k}_s": v for k, v in figures.items()}}


def timed(function: Callable[..., Any], part: str, seconds: alternate.Run) -> Callable[..., Any]:
    """The function, which adds the time of its calls to a part's seconds."""

    def call(*arguments: Any) -> Any:
        started = time.time()
        try:
            return function(*arguments)
        finally:
            seconds[part] += time.time() - started

    return call


RUNS = {
    "tokenizer": tokenize_texts,
    "pairs": tokenize_pairs,
    "qa": cut_windows,
    "epoch": prepare_epoch,
    "start": start,
}


if __name__ == "__main__":
    main()
