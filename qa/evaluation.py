"""Evaluate a reader: windows -> logits -> n-best -> merged windows -> text -> official scores.

Everything streams: a block of examples is read, answered, scored, written and forgotten, so memory
does not grow with the data set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from qa.answerer import Answerer, Window, blocks
from qa.data.examples import Example
from qa.engine.distributed import World
from qa.metrics import METRICS, Score
from qa.nbest import Answer
from qa.predictions import PredictionFiles
from qa.tally import Tally
from qa.unanswerable import NO_ANSWER_METRICS, metrics_for

MAIN_SCORE = "korquad1"


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found."""

    scores: dict[str, dict[str, float]]  # name of the score -> its official keys, in %
    eval_loss: float  # mean over windows
    num_examples: int
    num_windows: int
    seconds: float
    decode_seconds: float  # part of `seconds`: decoding, merging, text, scores, files
    has_answer: np.ndarray  # (Q,) bool
    null_odds: np.ndarray  # (Q,) see qa.unanswerable
    threshold: float | None  # above these odds a question was left unanswered; None: never

    @property
    def metrics(self) -> dict[str, float]:
        """The figures a run is steered by: exact_match and f1 of the main score, and eval_loss.

        The main score is KorQuAD's, or SQuAD v2.0's if there are questions without an answer.
        """
        name = NO_ANSWER_METRICS[0] if NO_ANSWER_METRICS[0] in self.scores else MAIN_SCORE
        exact_match, f1 = (self.scores[name][key] for key in METRICS[name].keys)
        return {"exact_match": exact_match, "f1": f1, "eval_loss": self.eval_loss}

    @property
    def metrics_by_score(self) -> dict[str, float]:
        """Every figure of every score: korquad1_exact_match, ..."""
        return {f"{n}_{key}": value for n, s in self.scores.items() for key, value in s.items()}


def evaluate(
    answerer: Answerer,
    examples: Sequence[Example],
    windows: Iterable[Window],
    files: PredictionFiles | None = None,
    world: World | None = None,
    should_abort: Callable[[], bool] = lambda: False,
    deals_blocks: bool = True,
    scores: Sequence[Score] | None = None,
    threshold: float | str | None = None,
) -> Evaluation | None:
    """Answer and score `examples`, whose windows are `windows`, in order.

    windows: of `iterate_windows`, or read from disk by `iterate_rows`. files: takes each example's
    answers. world: processes that deal the blocks out among them; the main one scores and writes,
    in order, what one process alone would, and all return its result. should_abort: asked, in all
    processes alike, between blocks; None is returned if it says so. deals_blocks: false if all
    processes must answer every block together. scores: new ones to count in, which the caller can
    ask for more than their means; those of `metrics_for` if None. threshold: null odds above which
    a question is left unanswered, or "tune" for the best one on these examples under the first
    score that knows of questions without an answer.
    """
    world = world or World()
    started = time.perf_counter()
    answerer.reader.eval()
    answerer.reset()
    tally = Tally(scores or [Score(name) for name in metrics_for(examples)], files)
    loss_sum, num_windows, scoring_seconds = 0.0, 0, 0.0
    remaining = blocks(iter(windows))
    lanes, lane = (world.size, world.rank) if deals_blocks else (1, 0)
    while deal := list(islice(remaining, lanes)):
        if should_abort():
            return None
        for answered in world.gather(answer_dealt(answerer, examples, deal, lane))[:lanes]:
            if answered is None:
                continue
            scoring = time.perf_counter()
            for example, n_best in zip(examples[answered.examples], answered.answers, strict=True):
                tally.add(example, n_best)
            loss_sum += answered.loss_sum
            num_windows += answered.num_windows
            scoring_seconds += time.perf_counter() - scoring
    threshold = tally.withhold(threshold)
    result = Evaluation(
        scores={score.name: score.compute() for score in tally.scores},
        eval_loss=loss_sum / max(1, num_windows),
        num_examples=len(examples),
        num_windows=num_windows,
        seconds=time.perf_counter() - started,
        decode_seconds=answerer.decode_seconds + scoring_seconds,
        has_answer=tally.has_answer,
        null_odds=tally.null_odds,
        threshold=threshold,
    )
    shared: Evaluation = world.from_main(result)
    return shared


@dataclass(frozen=True)
class AnsweredBlock:
    """What one process found for its block."""

    examples: slice
    answers: list[list[Answer]]
    loss_sum: float
    num_windows: int


def answer_dealt(
    answerer: Answerer, examples: Sequence[Example], deal: list[list[Any]], rank: int
) -> AnsweredBlock | None:
    """Answer the block that is dealt to process `rank`; None if there is none left for it."""
    if rank >= len(deal):
        return None
    block = deal[rank]
    first, last = int(block[0]["example_index"]), int(block[-1]["example_index"])
    answers = answerer.answer_block(examples[first : last + 1], block, first)
    loss_sum, num_windows = answerer.take_loss()
    return AnsweredBlock(slice(first, last + 1), answers, loss_sum, num_windows)


def iterate_rows(dataset: Any, rows_per_read: int = 256) -> Iterator[dict[str, Any]]:
    """The rows of a `datasets.Dataset`, read many at a time, which is what makes it fast."""
    for columns in dataset.iter(batch_size=rows_per_read):
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))
