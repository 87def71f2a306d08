"""transformers' Trainer as a contestant."""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch

from benchmarks import material
from benchmarks.train_contestants.shared import LEARNING_RATE, wait_for
from qa.models.pretrained import load_tokenizer

NAMES = ("notebook", "best", "compiled", "tuned")


def train(options: argparse.Namespace, sample: Any) -> tuple[float, int, str]:
    """Two epochs with transformers' Trainer; likewise."""
    from transformers import (
        AutoConfig,
        AutoModelForQuestionAnswering,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        set_seed,
    )

    class Clock(TrainerCallback):
        """Notes when the epochs begin and end."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            wait_for(options.device)
            self.times.append(time.perf_counter())

    set_seed(42)
    tokenizer = load_tokenizer(options.model)
    config = AutoConfig.from_pretrained(options.model)
    config.attention_probs_dropout_prob = options.attention_dropout
    config.hidden_dropout_prob = options.hidden_dropout
    model = AutoModelForQuestionAnswering.from_pretrained(
        options.model, config=config, dtype=torch.float32
    )
    is_best = options.contestant != "notebook"
    best = {
        "bf16": options.precision == "bf16",
        "train_sampling_strategy": "group_by_length",
        "length_column_name": "length",
        "optim": "adamw_torch_fused",
        "torch_compile": options.contestant in ("compiled", "tuned"),
        "logging_nan_inf_filter": options.contestant != "tuned",
    }
    # A list in memory, so that reading is the same for all.
    names = [n for n in ("input_ids", "token_type_ids") if n in sample.column_names]
    rows = [
        {
            **{name: row[name].tolist() for name in names},
            "start_positions": int(row["start_position"]),
            "end_positions": int(row["end_position"]),
            "length": int(row["length"]),
        }
        for row in sample
    ]
    collator = CountingCollator(
        DataCollatorWithPadding(
            tokenizer,
            padding="longest" if is_best else "max_length",
            max_length=options.max_seq_length,
            pad_to_multiple_of=8 if is_best else None,
        )
    )
    clock = Clock()
    with material.temporary_folder() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=options.batch_size,
                num_train_epochs=2,
                learning_rate=LEARNING_RATE,
                use_cpu=options.device == "cpu",
                report_to=[],
                save_strategy="no",
                logging_steps=500,
                disable_tqdm=True,
                remove_unused_columns=False,
                **(best if is_best else {}),
            ),
            train_dataset=Rows(rows),
            data_collator=collator,
            callbacks=[clock],
        )
        trainer.train()
    first, second = clock.times
    precision = options.precision if is_best else "fp32"
    return second - first, collator.num_positions // 2, precision


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """A list as a data set, with the column that grouping by length asks for."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.column_names = list(rows[0])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | str) -> Any:
        if isinstance(index, str):
            return [row[index] for row in self.rows]
        return self.rows[index]


class CountingCollator:
    """Counts the positions of the batches that another collator makes."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate
        self.num_positions = 0

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        batch = self.collate([{k: v for k, v in row.items() if k != "length"} for row in rows])
        self.num_positions += batch["input_ids"].numel()
        return batch
