"""From a configuration to everything a run needs: data, model, loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from qa.answering.answerer import make_answerer
from qa.answering.finders import collator_class
from qa.answering.reader import Reader
from qa.config import GENERATIVE, Config
from qa.data.batches.collate import Collator
from qa.data.batches.training_order import TrainingOrder
from qa.data.examples import Example
from qa.data.windows.cache import windows_fingerprint
from qa.data.windows.health import measure_health
from qa.data.windows.options import require_fits
from qa.engine.determinism import fix_cublas_workspace
from qa.engine.device import resolve_device
from qa.engine.distributed import World, join_world
from qa.engine.errors import notice
from qa.engine.loop import TrainingRun
from qa.engine.optim import adamw
from qa.engine.precision import Precision
from qa.engine.rng import seed_everything
from qa.evaluation.null_threshold import threshold_on
from qa.models.flops import ModelFlops, count_flops
from qa.models.packing.byte_dropout import has_dropout
from qa.models.readers import AnyReader, loss_of
from qa.models.trained_part import freeze
from qa.outputs.card_facts import DataFacts
from qa.training.data_facts import is_korean
from qa.training.hard_negatives import hard_negatives
from qa.training.load import describe_parameters, load_model, read_data
from qa.training.parts import HELD_OUT, TRAINING, cut_parts
from qa.training.text_answers import with_text_targets

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass
class Job:
    """A run ready to start."""

    config: Config
    reader: Reader  # the model that is trained, as it is evaluated and saved
    run: TrainingRun
    eval_examples: list[Example]  # empty: the run is not evaluated
    eval_windows: Dataset | None  # None: the run is not evaluated
    flops: ModelFlops
    data_fingerprints: dict[str, str]  # of texts, tokenizer and window options
    data: dict[str, DataFacts]  # by TRAINING and HELD_OUT, if there is one
    is_korean: bool  # most questions of the training data
    threshold: float | None  # on null odds, where none is tuned; None: every question is answered


def build_job(config: Config, report: Callable[[str], None]) -> Job:
    """Read the data, cut it into windows and load the model; `report` gets lines for people.

    Raises:
        UserError: Something in the input is wrong. Nothing has been written yet then.
    """
    train_examples, eval_examples = read_data(config)
    if config.train.deterministic:
        fix_cublas_workspace()  # before the model is tried, which may be on CUDA
    # Before minutes of tokenising, since it may fail.
    device = resolve_device(config.train.device)
    world = join_world(device)
    seed_everything(config.train.seed)
    tokenizer, model = load_model(config, train_examples)
    if config.model.freeze is not None:
        freeze(model.model, config.model.freeze.split(","))
    if config.model.r_drop and not has_dropout(model.model):
        notice(
            "r_drop: the model has no dropout, so that its two passes are the same and nothing is"
            " learned of the second; leave out --r-drop, or give your own model"
            " --hidden-dropout 0.1"
        )
    model.train()  # transformers loads it in eval mode
    if config.model.gradient_checkpointing:
        model.checkpoint_layers()
    require_fits(tokenizer, model.max_length, config.windows)
    negatives = hard_negatives(train_examples, world) if config.data.hard_negatives else []
    data = {TRAINING: train_examples + negatives, HELD_OUT: eval_examples}
    nothing = dict.fromkeys(data, windows_fingerprint([], tokenizer, config.windows))
    parts = cut_parts(config, tokenizer, data, world)
    for name, part in parts.items():
        for line in part.lines:
            report(line)
        if name == TRAINING and negatives:
            report(f"training: {len(negatives):,} of the questions are hard negatives")
    windows = parts[TRAINING].windows
    if config.model.reader == GENERATIVE:
        longest_answer = config.decoding.max_answer_length
        windows = with_text_targets(windows, data[TRAINING], tokenizer, longest_answer, report)
    for problem in measure_health((e.context for e in train_examples), tokenizer).problems():
        report(problem)
    passes = 2 if config.model.r_drop else 1
    flops = count_flops(model, passes)  # while it is on the CPU
    described = describe_parameters(model)  # before it is sharded
    precision = Precision(config.train.precision, device)
    attention = model.to(device).prepare(precision, config.model.compile)
    longest = config.windows.max_seq_length
    form = model.batch_form(device, longest, trains=True)
    collator = collator_class(model)(longest, *form, passes=passes)
    run = make_run(config, model, windows, collator, world)
    if world.rank > 0:  # all processes start with the same weights, but draw their own dropout
        seed_everything(config.train.seed + 1000 * world.rank)
    for note in model.notes:
        report(note)
    how = f"{attention}, CUDA graphs" if run.graphs else attention
    report(f"model: {described}, {run.precision.name} on {run.device.type}, {how}")
    answerer = make_answerer(
        model,
        longest,
        config.decoding,
        run.precision,
        config.evaluation.per_device_eval_batch_size,
        tokenizer,
    )
    return Job(
        config=config,
        reader=Reader(answerer, tokenizer, config.windows),
        run=run,
        eval_examples=eval_examples,
        eval_windows=parts[HELD_OUT].windows if HELD_OUT in parts else None,
        flops=flops,
        data_fingerprints=nothing | {name: part.fingerprint for name, part in parts.items()},
        data={name: part.facts for name, part in parts.items()},
        is_korean=is_korean(train_examples),
        threshold=threshold_on(config.decoding.null_score_diff_threshold, train_examples),
    )


def make_run(
    config: Config, model: AnyReader, windows: Dataset, collator: Collator, world: World
) -> TrainingRun:
    """Return the loop over these windows.

    Args:
        config: Where the loop's settings are, and those of the order and the loss.
        model: The model, on its device.
        windows: The windows to train on.
        collator: Makes a batch of windows.
        world: The processes that train the model together.
    """
    order = TrainingOrder(
        np.asarray(windows["length"][:]),
        np.asarray(windows["has_answer"][:]),
        config.data.negative_window_ratio,
        config.data.per_device_train_batch_size,
        config.train.seed,
        groups_lengths=not model.is_packed,
    )
    train = config.train
    if train.cuda_graphs != "off" and not model.is_packed:
        # Masks are left out where nothing is padded, which depends on the batch; and windows alone
        # are cut by their lengths.
        notice("cuda_graphs: off, since this model does not read packed windows")
        train = replace(train, cuda_graphs="off")
    rates = dict.fromkeys(model.new_weights, config.model.head_learning_rate)
    return TrainingRun(
        model,
        loss_of(model, config.model.r_drop, config.model.span_loss_weight),
        windows,
        order,
        collator,
        train,
        optimizer=partial(adamw, config=train, learning_rates=rates),
        world=world,
    )
