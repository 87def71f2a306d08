"""From a configuration to everything a run needs: data, model, loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from qa.answering.answerer import Answerer
from qa.answering.finders import collator_class
from qa.answering.reader import Reader
from qa.config import GENERATIVE, Config
from qa.data.batches.collate import Collator
from qa.data.batches.training_order import TrainingOrder
from qa.data.examples import Example
from qa.data.windows.cache import cached_windows, windows_fingerprint
from qa.data.windows.coverage import Coverage
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
from qa.models.flops import ModelFlops, count_flops
from qa.models.readers import AnyReader, loss_of
from qa.models.trained_part import freeze
from qa.outputs.card_facts import DataFacts
from qa.training.data_facts import data_facts, is_korean
from qa.training.hard_negatives import hard_negatives
from qa.training.load import describe_data, describe_parameters, load_model, read_data
from qa.training.text_answers import texts_fingerprint, with_text_targets

if TYPE_CHECKING:
    from datasets import Dataset

TRAINING, HELD_OUT = "training data", "held-out data"


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
    model.train()  # transformers loads it in eval mode
    if config.model.gradient_checkpointing:
        model.checkpoint_layers()
    require_fits(tokenizer, model.max_length, config.windows)
    negatives = hard_negatives(train_examples, world) if config.data.hard_negatives else []
    data = {TRAINING: train_examples + negatives, HELD_OUT: eval_examples}
    fingerprints = {
        name: windows_fingerprint(each, tokenizer, config.windows) for name, each in data.items()
    }
    with world.main_first():  # the main process fills the cache, from which the others read
        windows = {
            name: cached_windows(each, tokenizer, config.windows, fingerprint=fingerprints[name])
            for name, each in data.items()
            if each
        }
    facts: dict[str, DataFacts] = {}
    sources = {TRAINING: config.data.train_data, HELD_OUT: config.data.eval_data}
    ratios = {TRAINING: config.data.negative_window_ratio, HELD_OUT: 1.0}
    for name, each in windows.items():
        coverage = Coverage(tokenizer, config.windows, config.decoding.max_answer_length)
        title = name.removesuffix(" data").replace("-", " ")
        for line in describe_data(title, data[name], each, coverage, ratios[name]):
            report(line)
        if name == TRAINING and negatives:
            report(f"{title}: {len(negatives):,} of the questions are hard negatives")
        if config.model.reader == GENERATIVE:  # others do not learn from texts
            fingerprints[name] += texts_fingerprint(data[name])
        source = str(sources[name] or config.data.train_data)
        counted = source, data[name], len(each), fingerprints[name], coverage
        facts[name] = data_facts(*counted)
        if coverage.cut:  # older checkpoints were trained on the front of long questions
            fingerprints[name] += ", long questions by their end"
    if config.model.reader == GENERATIVE:
        windows[TRAINING] = with_text_targets(
            windows[TRAINING],
            data[TRAINING],
            tokenizer,
            config.decoding.max_answer_length,
            report,
        )
    for problem in measure_health((e.context for e in train_examples), tokenizer).problems():
        report(problem)
    passes = 2 if config.model.r_drop else 1
    flops = count_flops(model, passes)  # while it is on the CPU
    described = describe_parameters(model)  # before it is sharded
    precision = Precision(config.train.precision, device)
    attention = model.to(device).prepare(precision, config.model.compile)
    longest = config.windows.max_seq_length
    form = partial(model.batch_form, device, longest)
    make_collator = collator_class(model)
    collator = make_collator(longest, *form(trains=True), passes=passes)
    run = make_run(config, model, windows[TRAINING], collator, world)
    if world.rank > 0:  # all processes start with the same weights, but draw their own dropout
        seed_everything(config.train.seed + 1000 * world.rank)
    for note in model.notes:
        report(note)
    how = f"{attention}, CUDA graphs" if run.graphs else attention
    report(f"model: {described}, {run.precision.name} on {run.device.type}, {how}")
    answerer = Answerer(
        model,
        make_collator(longest, *form(trains=False)),
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
        eval_windows=windows.get(HELD_OUT),
        flops=flops,
        data_fingerprints=fingerprints,
        data=facts,
        is_korean=is_korean(train_examples),
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
