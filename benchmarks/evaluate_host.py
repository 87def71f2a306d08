"""What an evaluation costs the host: milliseconds of processor time a window, in parts.

    python -m benchmarks.evaluate_host [--model DIR --data FILE] [--max-questions N]

Questions are answered by a model that looks its scores up in a small table, so that the host
dominates; the time in that model and in finding the best spans, which is the device's work, is
subtracted. Batches are as large as on a GPU. Windows come from the disk, as in a training's
evaluations. Of the rounds the fastest counts, part by part, since whatever disturbs adds.

read    windows from the disk
answer  batches, merging, ranking, cutting text
score   the official scores
files   predictions, n-best answers and null odds
"""

from __future__ import annotations

import argparse
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks import material
from qa.answering import answerer as answering
from qa.answering.options import DecodeOptions
from qa.data.batches.collate import Collator
from qa.data.formats import read_examples
from qa.data.windows.cache import cached_windows, read_rows
from qa.engine.precision import Precision
from qa.evaluation.evaluate import evaluate
from qa.metrics import Score
from qa.models.model_io import SpanScores
from qa.models.packing.segments import to_rows
from qa.models.pretrained import load_tokenizer
from qa.outputs.prediction_files import PredictionFiles

PARTS = ("read", "answer", "score", "files")


class TableReader(nn.Module):
    """Scores each token by a table; called as a `SpanReader`."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(vocab_size, 2)

    def forward(self, input_ids: Any, slots: Any, shape: Any, **_: Any) -> SpanScores:
        """Look up the scores."""
        starts, ends = to_rows(self.table(input_ids), slots, shape, float("-inf")).unbind(2)
        return SpanScores(starts, ends, None)


class Laps:
    """Seconds of processor time within functions, those of inner ones left out."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def within(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, its time counted under `part`."""

        def timed(*arguments: Any, **options: Any) -> Any:
            self._inner.append(0.0)
            started = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                seconds = time.thread_time() - started
                self.seconds[part] += seconds - self._inner.pop()
                self._inner[-1] += seconds

        return timed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate_host")
    material.add_arguments(parser)
    parser.add_argument("--max-questions", type=int)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    answering.CPU_BATCH_TOKENS = 2**62
    with material.temporary_folder() as folder:
        material.complete(options, Path(folder))
        rounds = measure(options, Path(folder))
    best = {part: min(r[part] for r in rounds) for part in PARTS}
    best["all but files"] = min(sum(r[part] for part in PARTS[:-1]) for r in rounds)
    best["all"] = min(sum(r[part] for part in PARTS) for r in rounds)
    print("  ".join(f"{part} {seconds:.4f}" for part, seconds in best.items()), "ms a window")


def measure(options: argparse.Namespace, folder: Path) -> list[dict[str, float]]:
    """Evaluate once a round; milliseconds a window, by part."""
    tokenizer = load_tokenizer(options.model)
    examples = read_examples(options.data)[: options.max_questions]
    windows = cached_windows(examples, tokenizer, material.window_options(options), folder)
    laps = Laps()
    model = TableReader(len(tokenizer)).eval()
    model.forward = laps.within("device", model.forward)  # type: ignore[method-assign]
    answering.best_spans = laps.within("device", answering.best_spans)
    Score.add = laps.within("score", Score.add)  # type: ignore[method-assign]
    precision = Precision("fp32", torch.device("cpu"))
    collator = Collator(options.max_seq_length)
    answerer = answering.Answerer(model, collator, DecodeOptions(), precision)  # type: ignore[arg-type]
    evaluate_timed = laps.within("answer", evaluate)
    rounds = []
    for _ in range(options.repeats):
        laps.seconds.clear()
        with PredictionFiles(folder) as files:
            files.write = laps.within("files", files.write)  # type: ignore[method-assign]
            evaluate_timed(answerer, examples, timed_rows(windows, laps), files=files)
        rounds.append({part: 1000 * laps.seconds[part] / len(windows) for part in PARTS})
    return rounds


def timed_rows(windows: Any, laps: Laps) -> Iterator[Any]:
    """The windows, the time of reading counted."""
    next_row = laps.within("read", read_rows(windows).__next__)
    with suppress(StopIteration):
        while True:
            yield next_row()


if __name__ == "__main__":
    main()
