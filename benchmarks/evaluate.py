"""Evaluation from saved model to scores: qa beside transformers' Trainer, alternating.

    python -m benchmarks.evaluate [--model DIR --data FILE] [--max-questions N]
    python -m benchmarks.evaluate --growth [--copies 10]

All load the same model, cut the held-out questions into windows without a cache, run the model,
decode, write predictions and score. A model without a span head gets a new one, for all the same.

usual  Trainer.predict as the usual script calls it: fp32, every window padded to max_seq_length,
       batches of 8, and n-best post-processing in Python
best   Trainer.predict at its best: bf16, padded per batch, batches of 32; the same post-processing
qa     what `python -m qa evaluate` does

The time is the whole process's, and its parts: load (imports, data, model), windows, model, post
(decoding, text, files, scores). windows_per_s is of the model's part; qa's has the windows in it,
since it cuts them block by block. --growth compares qa on the questions with qa on many copies of
them. Needs the `bench` extra.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks import alternate, material
from qa.answering.reader_settings import SETTINGS_FILE
from qa.data.batches.evaluation_batches import BATCH_SIZE
from qa.data.examples import Example
from qa.engine.json_files import write_json

RUN = "benchmarks.evaluation_run"
CONTESTANTS = ("usual", "best", "qa")
COLUMNS = ["seconds", "load_s", "windows_s", "model_s", "post_s", "windows_per_s"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate")
    material.add_arguments(parser)
    parser.add_argument("--max-questions", type=int, help="of the held-out part; all by default")
    parser.add_argument("--precision", default="bf16", help="of qa and of Trainer's best settings")
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE, help="of qa")
    parser.add_argument("--only", help="names to run, with commas; all by default")
    parser.add_argument(
        "--growth", action="store_true", help="qa alone, on more and more questions"
    )
    parser.add_argument("--copies", type=int, default=10, help="with --growth (default 10)")
    options = parser.parse_args()
    settings = dict(vars(options))
    with material.temporary_folder() as folder:
        material.complete(options, Path(folder))
        _, examples = material.read_parts(options)
        examples = examples[: options.max_questions]
        options.model = save_reader(options, Path(folder) / "reader")
        rounds = [
            (grow if options.growth else compare)(options, examples, Path(folder))
            for _ in range(options.repeats)
        ]
    results = alternate.medians(rounds)
    columns = ["questions"] if options.growth else []
    print(alternate.table(results, [*columns, *COLUMNS, "exact_match", "f1", "peak_gib"]))
    (print_growth if options.growth else print_ratios)(rounds)
    alternate.write(options.json, settings, rounds)


def compare(
    options: argparse.Namespace, examples: list[Example], folder: Path
) -> dict[str, alternate.Run]:
    """Run every contestant once on the examples."""
    names = options.only.split(",") if options.only else list(CONTESTANTS)
    return alternate.measure(RUN, names, arguments(options, examples, 1, folder))


def grow(
    options: argparse.Namespace, examples: list[Example], folder: Path
) -> dict[str, alternate.Run]:
    """Run qa on many copies of the examples and on one."""
    results = {}
    for copies in (options.copies, 1):
        line = arguments(options, examples, copies, folder)
        results[f"qa {copies}x"] = alternate.measure(RUN, ["qa"], line)["qa"]
    return results


def arguments(
    options: argparse.Namespace, examples: list[Example], copies: int, folder: Path
) -> list[str]:
    """The command line of a run on so many copies of the examples."""
    path = folder / f"held-out-{copies}.json"
    material.write_copies(examples, copies, path)
    given = argparse.Namespace(**{**vars(options), "data": str(path)})
    names = ["model", "data", "max_seq_length", "window_overlap", "precision", "batch_size"]
    return material.arguments_for_runs(given, names)


def print_ratios(rounds: Sequence[dict[str, alternate.Run]]) -> None:
    """Print qa's speed beside that of each peer."""
    results = alternate.medians(rounds)
    for peer in rounds[0]:
        if peer == "qa" or "qa" not in rounds[0]:
            continue
        ratios = [r[peer]["seconds"] / r["qa"]["seconds"] for r in rounds]
        model = results[peer]["model_s"] / results["qa"]["model_s"]
        memory = results["qa"]["peak_gib"] / results[peer]["peak_gib"]
        print(
            f"qa / {peer}: {np.median(ratios):.2f} x as fast ({min(ratios):.2f} to"
            f" {max(ratios):.2f} over {len(ratios)} rounds), {model:.2f} x in the model alone,"
            f" {memory:.2f} x peak memory"
        )


def print_growth(rounds: Sequence[dict[str, alternate.Run]]) -> None:
    """Print time and memory on the many copies beside those on one."""
    many, one = rounds[0]
    for figure in ("questions", "seconds", "peak_gib"):
        ratios = [r[many][figure] / r[one][figure] for r in rounds]
        spread = f"({min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} rounds)"
        print(f"{many} / {one}: {np.median(ratios):.2f} x {figure} {spread}")


def save_reader(options: argparse.Namespace, directory: Path) -> str:
    """Save model, tokenizer and settings, with a new span head if there is none; returns where."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    torch.manual_seed(0)
    model = AutoModelForQuestionAnswering.from_pretrained(options.model, dtype=torch.float32)
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(options.model).save_pretrained(directory)
    names = ("max_seq_length", "window_overlap")
    write_json(directory / SETTINGS_FILE, {name: getattr(options, name) for name in names})
    return str(directory)


if __name__ == "__main__":
    main()
