"""The way of the data to the first step: windows from text, growth, and a warm start.

    python -m benchmarks.data [--model DIR --data FILE]
    python -m benchmarks.data --growth 1 5 20
    python -m benchmarks.data --start

The first cuts all questions into windows without a cache, imports and reading not counted, beside

tokenizer  the library below transformers' tokenizer alone, on every distinct question and context
wrapper    the same through transformers, which copies the outcome, offsets included
pairs      the tokenizer as the usual script calls it: on every question with its context
qa         qa.data.windows.cache.cached_windows; warm_s: the same again, from the cache

--growth reads a file with so many copies of the questions, cuts windows without a cache and walks
over the batches of an epoch, without a model. peak_gib counts the pages of the windows' file that
were looked at; anonymous_gib, where Linux tells it, does not: it is what has to fit into memory.
--start does what `train.py` does up to the end of the first step, with windows in the cache.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import Any

from benchmarks import alternate, data_growth, data_start, material
from qa.data.examples import Example
from qa.data.formats import read_examples
from qa.data.windows.tokens import plain_backend

CONTESTANTS = ("tokenizer", "wrapper", "pairs", "qa")
TEXTS_PER_CALL = 1000  # as `datasets` calls it


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
            rounds = data_growth.grow(options, Path(folder))
        elif options.start:
            rounds = data_start.start_warm(options, Path(folder))
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
        alternate.print_ratios(rounds, "qa", peer, "seconds")
    return rounds


def prepare(options: argparse.Namespace) -> tuple[Any, list[Example]]:
    """Tokenizer and all examples, with everything imported that is not to be timed."""
    import datasets  # noqa: F401

    from qa.models.pretrained import load_tokenizer

    return load_tokenizer(options.model), read_examples(options.data)


def distinct_texts(examples: list[Example]) -> list[list[str]]:
    """Questions and contexts, each once, in batches for the tokenizer."""
    kinds = ({e.question for e in examples}, {e.context for e in examples})
    return [batch for texts in kinds for batch in in_batches(sorted(texts))]


def tokenize_bare(options: argparse.Namespace) -> alternate.Run:
    """Every distinct text once, nothing copied to Python."""
    tokenizer, examples = prepare(options)
    backend = plain_backend(tokenizer)
    batches = distinct_texts(examples)
    started = time.perf_counter()
    for batch in batches:
        backend.encode_batch(batch, add_special_tokens=False)
    return {"seconds": time.perf_counter() - started}


def tokenize_wrapped(options: argparse.Namespace) -> alternate.Run:
    """Every distinct text once, as Python lists."""
    tokenizer, examples = prepare(options)
    batches = distinct_texts(examples)
    started = time.perf_counter()
    for batch in batches:
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
    """Time the windows of qa, without a cache and with it."""
    from qa.data.windows.cache import cached_windows

    tokenizer, examples = prepare(options)
    cut = material.window_options(options)
    seconds = []
    with material.temporary_folder() as folder:
        for _ in ("cold", "warm"):
            started = time.perf_counter()
            windows = cached_windows(examples, tokenizer, cut, folder)
            seconds.append(time.perf_counter() - started)
    return {"seconds": seconds[0], "warm_s": seconds[1], "windows": len(windows)}


RUNS = {
    "tokenizer": tokenize_bare,
    "wrapper": tokenize_wrapped,
    "pairs": tokenize_pairs,
    "qa": cut_windows,
    "epoch": data_growth.prepare_epoch,
    "start": data_start.start,
}


if __name__ == "__main__":
    main()
