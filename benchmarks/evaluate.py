"""Evaluation from saved model to scores: qa beside transformers' Trainer, alternating.

    python -m benchmarks.evaluate [--model DIR --data FILE] [--max-questions N]
    python -m benchmarks.evaluate --growth [--copies 10]

All load the same model, cut the held-out questions into windows without a cache, run the model,
decode, write predictions and score. A model without a span head gets a new one, for all the same.

usual  Trainer.predict as the usual script calls it: fp32, every window padded to max_seq_length,
       batches of 8, and n-best post-processing in Python
best   Trainer.predict at its best: bf16, padded per batch, batches of 32; the same post-processing
qa     what `python -m qa.evaluate` does

The time is the whole process's, and its parts: load (imports, data, model), windows, model, post
(decoding, text, files, scores). windows_per_s is of the model's part. --growth compares qa on the
questions with qa on many copies of them. Needs the `bench` extra.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import alternate, material
from qa.data.examples import Example
from qa.data.readers import read_examples
from qa.metrics import Score

CONTESTANTS = ("usual", "best", "qa")
COLUMNS = ["seconds", "load_s", "windows_s", "model_s", "post_s", "windows_per_s"]
N_BEST_SIZE = 20
MAX_ANSWER_LENGTH = 30


def main() -> None:
    """Measure and print, or, called by itself, be one contestant."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate")
    material.add_arguments(parser)
    parser.add_argument("--max-questions", type=int, help="of the held-out part; all by default")
    parser.add_argument("--precision", default="bf16", help="of qa and of Trainer's best settings")
    parser.add_argument("--only", help="names to run, with commas; all by default")
    parser.add_argument(
        "--growth", action="store_true", help="qa alone, on more and more questions"
    )
    parser.add_argument("--copies", type=int, default=10, help="with --growth (default 10)")
    options = parser.parse_args()
    if options.contestant:
        alternate.report(run(options))
        return
    settings = dict(vars(options))
    with material.temporary_folder() as folder:
        material.complete(options, Path(folder))
        _, examples = material.read_parts(options)
        examples = examples[: options.max_questions]
        options.model = save_with_head(options.model, Path(folder) / "reader")
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
    return alternate.measure("benchmarks.evaluate", names, arguments(options, examples, 1, folder))


def grow(
    options: argparse.Namespace, examples: list[Example], folder: Path
) -> dict[str, alternate.Run]:
    """Run qa on many copies of the examples and on one."""
    results = {}
    for copies in (options.copies, 1):
        line = arguments(options, examples, copies, folder)
        results[f"qa {copies}x"] = alternate.measure("benchmarks.evaluate", ["qa"], line)["qa"]
    return results


def arguments(
    options: argparse.Namespace, examples: list[Example], copies: int, folder: Path
) -> list[str]:
    """The command line of a run on so many copies of the examples."""
    path = folder / f"held-out-{copies}.json"
    material.write_copies(examples, copies, path)
    given = argparse.Namespace(**{**vars(options), "data": str(path)})
    names = ["model", "data", "max_seq_length", "window_overlap", "precision"]
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


def save_with_head(name: str, directory: Path) -> str:
    """Save a model and its tokenizer, with a new span head if it has none; returns where."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    torch.manual_seed(0)
    model = AutoModelForQuestionAnswering.from_pretrained(name, dtype=torch.float32)
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(name).save_pretrained(directory)
    return str(directory)


def run(options: argparse.Namespace) -> alternate.Run:
    """Evaluate as one contestant; its figures."""
    logging.disable(logging.WARNING)
    evaluate = evaluate_with_qa if options.contestant == "qa" else evaluate_with_trainer
    laps = alternate.Laps()
    examples = read_examples(options.data)
    with material.temporary_folder() as folder:
        num_windows, score = evaluate(options, examples, Path(folder), laps)
    return {
        "questions": len(examples),
        "windows": num_windows,
        "seconds": sum(laps.seconds.values()),
        **{f"{part}_s": seconds for part, seconds in laps.seconds.items()},
        "windows_per_s": num_windows / laps.seconds["model"],
        **score,
    }


def evaluate_with_qa(
    options: argparse.Namespace, examples: list[Example], folder: Path, laps: alternate.Laps
) -> tuple[int, dict[str, float]]:
    """As `qa.evaluate.evaluate_model` does it; (windows, scores)."""
    from qa.data.cache import cached_windows
    from qa.evaluation import MAIN_SCORE, evaluate
    from qa.predict import Reader
    from qa.predictions import PredictionFiles

    cut = {"max_seq_length": options.max_seq_length, "window_overlap": options.window_overlap}
    reader = Reader.from_pretrained(options.model, "cpu", options.precision, **cut)
    laps.end("load")
    windows = cached_windows(examples, reader.tokenizer, reader.windows, folder)
    laps.end("windows")
    with PredictionFiles(folder) as files:
        result = evaluate(reader.answerer, examples, windows, files)
        assert result is not None  # nothing aborts it
        files.commit()
    laps.end("model")
    # They alternate, block by block.
    laps.seconds["model"] -= result.decode_seconds
    laps.seconds["post"] = result.decode_seconds
    return result.num_windows, result.scores[MAIN_SCORE]


def evaluate_with_trainer(
    options: argparse.Namespace, examples: list[Example], folder: Path, laps: alternate.Laps
) -> tuple[int, dict[str, float]]:
    """As transformers' question-answering script does it; (windows, scores)."""
    import datasets
    from transformers import (
        AutoModelForQuestionAnswering,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        default_data_collator,
    )

    is_best = options.contestant == "best"
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForQuestionAnswering.from_pretrained(options.model)
    laps.end("load")

    def cut(batch: dict[str, list[str]]) -> Any:
        """The windows of a batch of questions."""
        windows = tokenizer(
            batch["question"],
            batch["context"],
            truncation="only_second",
            max_length=options.max_seq_length,
            stride=options.window_overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=False if is_best else "max_length",
        )
        rows = windows.pop("overflow_to_sample_mapping")
        windows["example_id"] = [batch["id"][row] for row in rows]
        windows["offset_mapping"] = [
            [
                span if part == 1 else None
                for span, part in zip(spans, windows.sequence_ids(i), strict=True)
            ]
            for i, spans in enumerate(windows["offset_mapping"])
        ]
        return windows

    datasets.disable_progress_bars()
    texts = [{"id": e.id, "question": e.question, "context": e.context} for e in examples]
    windows = datasets.Dataset.from_list(texts).map(
        cut,
        batched=True,
        remove_columns=["id", "question", "context"],
        cache_file_name=str(folder / "windows.arrow"),
    )
    laps.end("windows")
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder),
            per_device_eval_batch_size=32 if is_best else 8,
            bf16_full_eval=is_best and options.precision == "bf16",
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
        ),
        data_collator=(
            DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)
            if is_best
            else default_data_collator
        ),
    )
    predictions = trainer.predict(windows).predictions
    laps.end("model")
    texts_found = usual_post_processing(examples, windows, predictions, folder)
    score = Score("korquad1")
    for example in examples:
        score.add(texts_found[example.id], example.answers)
    scores = score.compute()
    laps.end("post")
    return len(windows), scores


def usual_post_processing(
    examples: list[Example], windows: Any, logits: tuple[np.ndarray, np.ndarray], folder: Path
) -> dict[str, str]:
    """What transformers' question-answering script makes of its logits: id -> answer.

    logits: (windows, tokens) of starts and of ends.
    """
    of_example = defaultdict(list)
    for index, example_id in enumerate(windows["example_id"]):
        of_example[example_id].append(index)
    answers, n_bests = {}, {}
    for example in examples:
        found = []
        for index in of_example[example.id]:
            start_logits, end_logits = logits[0][index], logits[1][index]
            offsets = windows[index]["offset_mapping"]
            starts = np.argsort(start_logits)[-1 : -N_BEST_SIZE - 1 : -1].tolist()
            ends = np.argsort(end_logits)[-1 : -N_BEST_SIZE - 1 : -1].tolist()
            for start in starts:
                for end in ends:
                    if max(start, end) >= len(offsets) or not offsets[start] or not offsets[end]:
                        continue
                    if end < start or end - start + 1 > MAX_ANSWER_LENGTH:
                        continue
                    span = (offsets[start][0], offsets[end][1])
                    found.append({"span": span, "score": start_logits[start] + end_logits[end]})
        n_best = sorted(found, key=lambda answer: answer["score"], reverse=True)[:N_BEST_SIZE]
        n_best = n_best or [{"span": (0, 0), "score": 0.0}]
        scores = np.array([answer["score"] for answer in n_best])
        exponentials = np.exp(scores - scores.max())
        probabilities = exponentials / exponentials.sum()
        for answer, probability in zip(n_best, probabilities, strict=True):
            start, end = answer.pop("span")
            answer["text"] = example.context[start:end]
            answer["score"], answer["probability"] = float(answer["score"]), float(probability)
        answers[example.id] = n_best[0]["text"]
        n_bests[example.id] = n_best
    for name, content in (("predictions.json", answers), ("nbest_predictions.json", n_bests)):
        text = json.dumps(content, indent=4, ensure_ascii=False)
        (folder / name).write_text(text, encoding="utf-8")
    return answers


if __name__ == "__main__":
    main()
