"""From a configuration to everything a run needs: data, model, loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from qa.answering.answerer import Answerer
from qa.answering.reader import Reader
from qa.config import Config
from qa.data.batches.collate import Collator
from qa.data.batches.training_order import TrainingOrder
from qa.data.examples import Example
from qa.data.windows.cache import cached_windows, windows_fingerprint
from qa.data.windows.options import require_fits
from qa.engine.device import local_device, resolve_device
from qa.engine.distributed import World, join_world
from qa.engine.loop import TrainingRun
from qa.engine.rng import seed_everything
from qa.models.flops import ModelFlops, count_flops
from qa.models.loss import reader_loss
from qa.models.span_reader import SpanReader
from qa.training.load import count_parameters, describe_data, load_model, read_data


@dataclass
class Job:
    """A run ready to start."""

    config: Config
    reader: Reader  # the model that is trained, as it is evaluated and saved
    run: TrainingRun
    eval_examples: list[Example]  # empty: the run is not evaluated
    eval_windows: Any
    flops: ModelFlops
    data_fingerprints: dict[str, str]  # of texts, tokenizer and window options


def build_job(config: Config, report: Callable[[str], None]) -> Job:
    """Read the data, cut it into windows, load the model; `report` gets lines for people.

    Raises UserError for anything wrong in the input, before anything is written.
    """
    train_examples, eval_examples = read_data(config)
    # Before minutes of tokenising, since it may fail.
    world = join_world(resolve_device(local_device(config.train.device)))
    seed_everything(config.train.seed)
    tokenizer, model = load_model(config, train_examples)
    require_fits(tokenizer, model.max_length, config.windows)
    fingerprints = {
        "training data": windows_fingerprint(train_examples, tokenizer, config.windows),
        "held-out data": windows_fingerprint(eval_examples, tokenizer, config.windows),
    }
    eval_windows = None
    with world.main_first():  # one process fills the cache
        train_windows = cached_windows(
            train_examples, tokenizer, config.windows, fingerprint=fingerprints["training data"]
        )
        if eval_examples:
            eval_windows = cached_windows(
                eval_examples, tokenizer, config.windows, fingerprint=fingerprints["held-out data"]
            )
    ratio = config.data.negative_window_ratio
    report(describe_data("training", train_examples, train_windows, ratio))
    if eval_examples:
        report(describe_data("held out", eval_examples, eval_windows, 1.0))
    collator = Collator(config.windows.max_seq_length, pads=not model.is_packed)
    flops = count_flops(model, passes=2 if config.model.r_drop else 1)  # while it is on the CPU
    run = make_run(config, model, train_windows, collator, world)
    if world.rank > 0:  # the weights are drawn alike, the dropout masks are not
        seed_everything(config.train.seed + 1000 * world.rank)
    report(
        f"model: {count_parameters(model):,} parameters, {run.precision.name} on {run.device.type}"
    )
    answerer = Answerer(
        model,
        collator,
        config.decoding,
        run.precision,
        config.evaluation.per_device_eval_batch_size,
    )
    return Job(
        config=config,
        reader=Reader(answerer, tokenizer, config.windows),
        run=run,
        eval_examples=eval_examples,
        eval_windows=eval_windows,
        flops=flops,
        data_fingerprints=fingerprints,
    )


def make_run(
    config: Config, model: SpanReader, windows: Any, collator: Collator, world: World
) -> TrainingRun:
    """The loop over these windows: their order, the loss, and the rates of new heads."""
    order = TrainingOrder(
        np.asarray(windows["length"][:]),
        np.asarray(windows["has_answer"][:]),
        config.data.negative_window_ratio,
        config.data.per_device_train_batch_size,
        config.train.seed,
        groups_lengths=not model.is_packed,
    )
    return TrainingRun(
        model,
        partial(reader_loss, r_drop=config.model.r_drop),
        windows,
        order,
        collator,
        config.train,
        world,
        learning_rates=dict.fromkeys(model.new_weights, config.model.head_learning_rate),
    )
