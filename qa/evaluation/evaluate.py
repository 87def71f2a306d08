"""Evaluate a reader: windows -> logits -> n-best -> merged windows -> text -> official scores.

Everything streams: a block of examples is read, answered, scored, written and forgotten, so memory
does not grow with the data set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from qa.answering.answerer import Answerer, BlockAnswers, Window, blocks
from qa.data.examples import Example
from qa.engine.distributed import World
from qa.evaluation.null_threshold import NO_ANSWER_METRICS, metrics_for
from qa.evaluation.tally import Tally
from qa.metrics import METRICS, Score
from qa.outputs.prediction_files import PredictionFiles

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
    null_odds: np.ndarray  # (Q,) see qa.evaluation.null_threshold
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
    *,
    files: PredictionFiles | None = None,
    world: World | None = None,
    should_abort: Callable[[], bool] = lambda: False,
    shards_blocks: bool = True,
    scores: Sequence[Score] | None = None,
    threshold: float | None = None,
    tunes: bool = False,
) -> Evaluation | None:
    """Answer and score examples; None if it was aborted.

    Args:
        answerer: Reads windows on its device.
        examples: The questions, with gold answers.
        windows: Theirs, in order: of `iterate_windows`, or read from disk by `iterate_rows`.
        files: Take each example's answers; written by the main process.
        world: Processes that share the blocks. The main one scores and writes, in order, what one
            process alone would, and all return its result.
        should_abort: Asked in all processes alike between blocks; true ends the evaluation.
        shards_blocks: False if all processes must answer every block together.
        scores: New ones to count in, which the caller can ask for more than their means; those of
            `metrics_for` by default.
        threshold: Null odds above which a question is left unanswered; None: never.
        tunes: Take the threshold that is best on these examples instead, under the first score
            that knows of questions without an answer.
    """
    world = world or World()
    started = time.perf_counter()
    answerer.model.eval()
    tally = Tally(scores or [Score(name) for name in metrics_for(examples)], files)
    loss_sum, num_windows, decode_seconds = 0.0, 0, 0.0
    remaining = blocks(iter(windows))
    num_workers, worker = (world.size, world.rank) if shards_blocks else (1, 0)
    while next_blocks := list(islice(remaining, num_workers)):
        if should_abort():
            return None
        own = answer_own_block(answerer, examples, next_blocks, worker)
        for index, answered in enumerate(world.gather(own)[:num_workers]):
            if answered is None:
                continue
            scoring = time.perf_counter()
            part, found = answered
            for example, n_best in zip(examples[part], found.answers, strict=True):
                tally.add(example, n_best)
            loss_sum += found.loss_sum
            num_windows += found.num_windows
            decode_seconds += time.perf_counter() - scoring
            if index == worker:  # the others decode at the same time
                decode_seconds += found.decode_seconds
    if tunes:
        threshold = tally.best_threshold()
    if threshold is not None:
        tally.apply_threshold(threshold)
    result = Evaluation(
        scores={score.name: score.compute() for score in tally.scores},
        eval_loss=loss_sum / max(1, num_windows),
        num_examples=len(examples),
        num_windows=num_windows,
        seconds=time.perf_counter() - started,
        decode_seconds=decode_seconds,
        has_answer=tally.has_answer,
        null_odds=tally.null_odds,
        threshold=None if threshold is None else float(threshold),  # JSON may have an integer
    )
    shared: Evaluation = world.from_main(result)
    return shared


def answer_own_block(
    answerer: Answerer,
    examples: Sequence[Example],
    next_blocks: list[list[Any]],
    worker: int,
) -> tuple[slice, BlockAnswers] | None:
    """Answer the block of process `worker` among the next ones; None if there is none for it.

    The slice says which examples are answered.
    """
    if worker >= len(next_blocks):
        return None
    block = next_blocks[worker]
    first, last = int(block[0]["example_index"]), int(block[-1]["example_index"])
    part = slice(first, last + 1)
    return part, answerer.answer_block(examples[part], block, first, computes_loss=True)
