"""From a configuration to everything a run needs: data, tokenizer, model, loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from qa.answering.answerer import Answerer, DecodeOptions
from qa.cli.predict import SETTINGS_FILE
from qa.config import EMBEDDED, Config
from qa.data.batches.collate import Collator
from qa.data.batches.training_order import TrainingOrder
from qa.data.examples import Example
from qa.data.formats import read_examples, read_training, require_answers
from qa.data.holdout import split_holdout
from qa.data.nfc import count_decomposed
from qa.data.quickstart.passages import make_quickstart
from qa.data.quickstart.tokenizer import train_tokenizer
from qa.data.windows.cache import cached_windows, windows_fingerprint
from qa.data.windows.iterate import WindowOptions, require_fits
from qa.engine.atomic_files import write_json
from qa.engine.distributed import join_world, local_device
from qa.engine.errors import require
from qa.engine.loop import TrainingRun
from qa.engine.precision import resolve_device
from qa.engine.rng import seed_everything
from qa.engine.step import Batch
from qa.models.flops import ModelFlops, count_flops
from qa.models.loss import window_loss
from qa.models.pretrained import load_tokenizer, revision_of
from qa.models.r_drop import r_drop_loss
from qa.models.small_bert import small_bert_config
from qa.models.span_reader import SpanReader, model_inputs


@dataclass
class Job:
    """A run ready to start."""

    config: Config
    reader: SpanReader
    tokenizer: Any
    run: TrainingRun
    answerer: Answerer
    eval_examples: list[Example]  # empty: the run is not evaluated
    eval_windows: Any
    flops: ModelFlops
    data_fingerprints: dict[str, str]  # of texts, tokenizer and window options

    def save_reader(
        self, directory: Path, weights: dict[str, torch.Tensor], threshold: float | None
    ) -> None:
        """Write model, tokenizer and settings for `Reader.from_pretrained` and for transformers.

        threshold: null odds above which a question is left unanswered; None: never.
        """
        self.reader.save_pretrained(directory, weights)
        self.tokenizer.save_pretrained(directory)
        names = ("max_seq_length", "window_overlap", "max_question_length")
        settings: dict[str, float] = {n: getattr(self.config.data, n) for n in names}
        for name in ("n_best_size", "max_answer_length"):
            settings[name] = getattr(self.config.evaluation, name)
        if threshold is not None:
            settings["null_score_diff_threshold"] = float(threshold)
        write_json(directory / SETTINGS_FILE, settings)


def build_job(config: Config, say: Callable[[str], None]) -> Job:
    """Read the data, cut it into windows, load the model; `say` gets lines for people.

    Raises UserError for anything wrong in the input, before anything is written.
    """
    train_examples, eval_examples = read_data(config)
    # Before minutes of tokenising, since it may fail.
    world = join_world(resolve_device(local_device(config.train.device)))
    seed_everything(config.train.seed)
    tokenizer, reader = load_model(config, train_examples)
    options = WindowOptions(
        config.data.max_seq_length, config.data.window_overlap, config.data.max_question_length
    )
    require_fits(tokenizer, reader.max_length, options)
    fingerprints = {
        "training data": windows_fingerprint(train_examples, tokenizer, options),
        "held-out data": windows_fingerprint(eval_examples, tokenizer, options),
    }
    eval_windows = None
    with world.main_first():  # one process fills the cache
        train_windows = cached_windows(
            train_examples, tokenizer, options, fingerprint=fingerprints["training data"]
        )
        if eval_examples:
            eval_windows = cached_windows(
                eval_examples, tokenizer, options, fingerprint=fingerprints["held-out data"]
            )
    say(describe("training", train_examples, train_windows, config.data.negative_window_ratio))
    if eval_examples:
        say(describe("held out", eval_examples, eval_windows, 1.0))
    order = TrainingOrder(
        np.asarray(train_windows["length"][:]),
        np.asarray(train_windows["has_answer"][:]),
        config.data.negative_window_ratio,
        config.data.per_device_train_batch_size,
        config.train.seed,
        groups_lengths=not reader.is_packed,
    )
    collator = Collator(options.max_seq_length, pads=not reader.is_packed)
    flops = count_flops(reader, passes=2 if config.model.r_drop else 1)  # while it is on the CPU
    rates = dict.fromkeys(reader.new_weights, config.model.head_learning_rate)
    loss_fn = partial(reader_loss, r_drop=config.model.r_drop)
    run = TrainingRun(reader, loss_fn, train_windows, order, collator, config.train, world, rates)
    if world.rank > 0:  # the weights are drawn alike, the dropout masks are not
        seed_everything(config.train.seed + 1000 * world.rank)
    say(f"model: {count_parameters(reader):,} parameters, {run.precision} on {run.device.type}")
    answerer = make_answerer(config, run, reader, collator)
    return Job(
        *(config, reader, tokenizer, run, answerer, eval_examples, eval_windows),
        flops=flops,
        data_fingerprints=fingerprints,
    )


def reader_loss(model: nn.Module, batch: Batch, r_drop: float = 0.0) -> torch.Tensor:
    """The engine's loss function: the summed loss of a batch; r_drop: see `r_drop_loss`."""
    if r_drop:
        return r_drop_loss(model, batch, r_drop)
    return window_loss(model(**model_inputs(batch)), batch)


def read_data(config: Config) -> tuple[list[Example], list[Example]]:
    """(training, evaluation) examples of the configuration; the second may be empty."""
    data = config.data
    assert data.train_data is not None  # Config checks it
    times: dict[str, int] = {}
    if data.train_data == EMBEDDED:
        training, evaluation = make_quickstart()
    else:
        training, times = read_training(data.train_data, split="train", nfc=data.nfc)
        evaluation = []
        if data.holdout is not None:
            training, evaluation = split_holdout(training, data.holdout)
    if data.eval_data is not None:
        evaluation = read_examples(data.eval_data, split="validation", nfc=data.nfc)
    training = training[: data.max_train_examples]
    evaluation = evaluation[: data.max_eval_examples]
    require(
        training, f"{data.train_data}: no training examples are left after holding out the rest"
    )
    require_answers(training, data.train_data)
    if evaluation:
        require_answers(evaluation, data.eval_data or data.train_data)
    # Held-out questions are not repeated: a score counts each of them once.
    training = [e for e in training for _ in range(times.get(e.id, 1))]
    return training, evaluation


def load_model(config: Config, train_examples: list[Example]) -> tuple[Any, SpanReader]:
    """Tokenizer and reader: loaded, or made from the training texts for the embedded model."""
    model = config.model
    if model.model == EMBEDDED:
        texts = (text for e in train_examples for text in (e.question, e.context))
        tokenizer = train_tokenizer(texts)
        return tokenizer, SpanReader.from_config(
            small_bert_config(tokenizer), model.character_boundaries
        )
    revision = revision_of(model.model)
    tokenizer = load_tokenizer(model.model, revision)
    reader = SpanReader.from_pretrained(
        model.model,
        model.attention_dropout,
        model.hidden_dropout,
        boundaries=model.character_boundaries,
        revision=revision,
    )
    return tokenizer, reader


def make_answerer(
    config: Config, run: TrainingRun, reader: SpanReader, collator: Collator
) -> Answerer:
    """The evaluation's answerer: same device and number format as the training."""
    options = DecodeOptions(
        config.evaluation.n_best_size,
        config.evaluation.max_answer_length,
        config.evaluation.per_device_eval_batch_size,
    )
    return Answerer(reader, collator, options, run.device, run.precision)


def describe(name: str, examples: list[Example], windows: Any, negative_ratio: float) -> str:
    """A line on a data set: questions, windows, and what should give pause."""
    has_answer = np.asarray(windows["has_answer"][:])
    example_index = np.asarray(windows["example_index"][:])
    negatives = int((~has_answer).sum())
    line = (
        f"{name}: {len(examples):,} questions, {len(windows):,} windows,"
        f" {len(windows) - negatives:,} of them with the answer"
    )
    if negative_ratio < 1:
        line += f"; each epoch trains on {round(negatives * negative_ratio):,} of the others"
    reached = np.zeros(len(examples), dtype=bool)
    reached[example_index[has_answer]] = True
    lost = sum(bool(e.answers) and not hit for e, hit in zip(examples, reached, strict=True))
    if lost:
        line += f"; {lost:,} answers fit into no window"
    cut = len(np.unique(example_index[np.asarray(windows["question_was_cut"][:])]))
    if cut:
        line += f"; {cut:,} questions longer than max_question_length were cut"
    decomposed = count_decomposed(examples)
    if decomposed:
        line += f"; {decomposed:,} texts are decomposed Hangul (NFD), --nfc composes them"
    return line


def count_parameters(model: nn.Module) -> int:
    """Number of weights."""
    return sum(parameter.numel() for parameter in model.parameters())
