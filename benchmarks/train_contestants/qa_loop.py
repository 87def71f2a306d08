"""The loop of this project as a contestant."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from benchmarks.train_contestants.shared import LEARNING_RATE, wait_for
from qa.answering.options import DecodeOptions
from qa.data.batches.collate import Collator
from qa.data.batches.training_order import TrainingOrder
from qa.engine.config import TrainConfig
from qa.engine.loop import TrainingRun
from qa.engine.precision import Precision
from qa.engine.rng import seed_everything
from qa.models.loss import reader_loss
from qa.models.span_reader import SpanReader


def train(options: argparse.Namespace, sample: Any) -> tuple[float, int, str]:
    """A few epochs of TrainingRun; (seconds of the last, token positions computed, format)."""
    seed_everything(42)
    reader = SpanReader.from_pretrained(
        options.model,
        options.attention_dropout,
        options.hidden_dropout,
        boundaries=options.contestant != "whole",
        pair_width=0 if options.contestant == "whole" else DecodeOptions().max_answer_length,
    )
    accumulation = 4 if options.contestant == "fours" else 1
    order = TrainingOrder(
        np.asarray(sample["length"][:]),
        np.ones(len(sample), dtype=bool),
        1.0,
        options.batch_size // accumulation,
        42,
        groups_lengths=not reader.is_packed,
    )
    device, longest = torch.device(options.device), options.max_seq_length
    name = options.contestant
    reader.to(device).prepare(Precision(options.precision, device), name in ("layers", "both"))
    collator = Collator(longest, *reader.batch_form(device, longest, trains=True))
    epochs = 3 if name in ("graphs", "both") else 2  # a graph is recorded when a shape comes again
    config = TrainConfig(
        learning_rate=LEARNING_RATE,
        num_train_epochs=epochs,
        gradient_accumulation_steps=accumulation,
        precision=options.precision,
        device=options.device,
        cuda_graphs="auto" if name in ("graphs", "both") else "off",
    )
    trained = TrainingRun(reader, reader_loss, sample, order, collator, config)
    num_positions, started, ended = 0, 0.0, 0.0
    for out in trained.steps():
        if out.end_of_epoch:
            wait_for(options.device)
        ended = time.perf_counter()
        if out.epoch > epochs - 1:
            num_positions += out.counts["num_positions"]
        elif out.end_of_epoch:
            started = ended
    return ended - started, num_positions, trained.precision.name
