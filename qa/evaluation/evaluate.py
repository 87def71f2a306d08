"""Evaluate a model: windows -> logits -> n-best -> merged windows -> text -> official scores.

Everything streams: a block of examples is read, answered, scored, written and forgotten, so memory
does not grow with the data set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qa.answering.answerer import Answerer
from qa.answering.blocks import Window, make_blocks, own_blocks
from qa.data.examples import Example
from qa.engine.distributed import World
from qa.evaluation.null_threshold import main_score, metrics_for
from qa.evaluation.tally import Tally
from qa.metrics import METRICS, Score
from qa.outputs.prediction_files import PredictionFiles


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found. Q: questions."""

    scores: dict[str, dict[str, float]]  # name of the score -> its official keys, in %
    eval_loss: float  # mean over windows; of a generative reader over what it is to write
    num_examples: int
    num_windows: int
    seconds: float
    decode_seconds: float  # part of `seconds`: decoding, merging, text, scores, files
    has_answer: np.ndarray  # (Q,) bool
    null_odds: np.ndarray  # (Q,) float64; see qa.evaluation.null_threshold
    spans: np.ndarray  # (Q, 2) int64, where the best answer starts and ends; 0, 0: there is none
    values: dict[str, np.ndarray]  # name of the score -> (Q, 2) `Score.values`
    answered: np.ndarray  # (Q, 2) `Score.values` of the first score if no question were left out
    threshold: float | None  # above these odds a question was left unanswered; None: never
    # Share of the questions, in %, whose freely written answer is not in the context; None: of a
    # reader that does not write.
    outside_context: float | None = None

    @property
    def main_score(self) -> str:
        """KorQuAD's, or SQuAD v2.0's if there are questions without an answer."""
        return main_score(self.scores)

    @property
    def metrics(self) -> dict[str, float]:
        """What the best model is chosen by: the main score's exact_match and f1, and eval_loss."""
        keys = METRICS[self.main_score].keys
        exact_match, f1 = (self.scores[self.main_score][key] for key in keys)
        return {"exact_match": exact_match, "f1": f1, "eval_loss": self.eval_loss}

    @property
    def other_metrics(self) -> dict[str, float]:
        """Every metric of every score, korquad1_exact_match, ..., and outside_context, if any."""
        found = {f"{n}_{key}": value for n, s in self.scores.items() for key, value in s.items()}
        if self.outside_context is not None:
            found["outside_context"] = self.outside_context
        return found


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
    """Answer and score examples; return None if the evaluation was aborted.

    Args:
        answerer: Runs the model on its device.
        examples: The questions, with gold answers.
        windows: The windows of these examples, in order: from `iterate_windows`, or read from disk
            by `read_rows`.
        files: Get each example's answers; the main process writes them.
        world: Processes that share the blocks. The main process scores and writes, in order, what
            one process alone would, and all return its result.
        should_abort: Called between blocks, with the same result in all processes; true ends the
            evaluation.
        shards_blocks: False if all processes must answer every block together.
        scores: New scores to count in, which the caller can ask for more than their means; None for
            those of `metrics_for`.
        threshold: Null odds above which a question is left unanswered; None: never.
        tunes: Use the threshold that is best on these examples instead, under the first score that
            knows questions without an answer.
    """
    world = world or World()
    started = time.perf_counter()
    answerer.model.eval()
    tally = Tally(scores or [Score(name) for name in metrics_for(examples)], files)
    num_workers, worker = (world.size, world.rank) if shards_blocks else (1, 0)
    is_aborted = False

    def until_abort() -> Iterator[Sequence[Window]]:
        nonlocal is_aborted
        for own in own_blocks(make_blocks(iter(windows)), worker, num_workers):
            is_aborted = should_abort()
            if is_aborted:
                return
            yield answerer.with_text_targets(own, examples)

    for own in answerer.answer_blocks(examples, until_abort(), computes_loss=True):
        for index, found in enumerate(world.gather(own)[:num_workers]):
            # The other processes decode at the same time, so their decoding takes no time.
            tally.add_block(examples[found.part], found, counts_decoding=index == worker)
    if is_aborted:
        return None
    if tunes:
        threshold = tally.best_threshold()
    answered = tally.scores[0].values
    if threshold is not None:
        tally.apply_threshold(threshold)
    result = Evaluation(
        scores={score.name: score.compute() for score in tally.scores},
        eval_loss=tally.loss_sum / max(1, tally.num_items),
        num_examples=len(examples),
        num_windows=tally.num_windows,
        seconds=time.perf_counter() - started,
        decode_seconds=tally.decode_seconds,
        has_answer=tally.has_answer,
        null_odds=tally.null_odds,
        spans=tally.spans,
        values={score.name: score.values for score in tally.scores},
        answered=answered,
        threshold=None if threshold is None else float(threshold),  # JSON may have an integer
        outside_context=tally.outside_context,
    )
    shared: Evaluation = world.from_main(result)
    return shared
