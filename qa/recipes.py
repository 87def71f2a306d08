"""Named configurations: the values in which each differs from the defaults of `qa.config`."""

from __future__ import annotations

from typing import Any

from qa.config import EMBEDDED, GENERATIVE

KORQUAD = "hub:KorQuAD/squad_kor_v1"

QUICKSTART: dict[str, Any] = {
    "model": EMBEDDED,
    "train_data": EMBEDDED,
    "max_seq_length": 128,
    "window_overlap": 32,
    "max_question_length": 40,
    "learning_rate": 1.5e-3,
    "per_device_train_batch_size": 32,
    "num_train_epochs": 1,
    "logging_steps": 25,
    "eval_steps": 500,
    "save_steps": 500,
}

KLUE_BERT_KORQUAD: dict[str, Any] = {
    "model": "klue/bert-base",
    "train_data": KORQUAD,
    "eval_data": KORQUAD,
    "max_seq_length": 384,
    "learning_rate": 2e-5,
    "per_device_train_batch_size": 16,
    "num_train_epochs": 3,
    "weight_decay": 0.01,
    "lr_scheduler": "cosine",
    "warmup_ratio": 0.1,
    "eval_steps": 100,
    "save_steps": 100,
    "metric_for_best_model": "eval_loss",
    "early_stopping_patience": 3,
}

KLUE_BERT_KORQUAD_512: dict[str, Any] = {
    "model": "klue/bert-base",
    "train_data": KORQUAD,
    "eval_data": KORQUAD,
    "max_seq_length": 512,
    "learning_rate": 3e-5,
    "per_device_train_batch_size": 8,
    "num_train_epochs": 5,
    "eval_steps": "epoch",
    "save_steps": "epoch",
    "save_total_limit": 2,
}

KORQUAD_R_DROP: dict[str, Any] = {
    "model": "klue/bert-base",
    "train_data": KORQUAD,
    "eval_data": KORQUAD,
    "max_seq_length": 384,
    "window_overlap": 128,
    "learning_rate": 5e-5,
    "per_device_train_batch_size": 16,
    "num_train_epochs": 3,
    "weight_decay": 0.01,
    "attention_dropout": 0.0,
    "r_drop": 1.0,
    "negative_window_ratio": 0.5,
    "precision": "bf16",
    "metric_for_best_model": "f1",
    "eval_steps": "epoch",
    "save_steps": "epoch",
}

QUICKSTART_GENERATIVE: dict[str, Any] = {**QUICKSTART, "reader": GENERATIVE}

RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "quickstart": (
        "the default: Korean data made on the spot, a small BERT (RoFormer) from scratch",
        QUICKSTART,
    ),
    "quickstart-generative": (
        "the same with a reader that writes the answer, copying it from the context",
        QUICKSTART_GENERATIVE,
    ),
    "klue-bert-korquad": (
        "klue/bert-base on KorQuAD 1.0, best by evaluation loss",
        KLUE_BERT_KORQUAD,
    ),
    "klue-bert-korquad-512": ("the same with 512 tokens and 5 epochs", KLUE_BERT_KORQUAD_512),
    "korquad-r-drop": (
        "klue/bert-base on KorQuAD 1.0 with R-Drop and what else raised a smaller model's scores;"
        " not measured on this one",
        KORQUAD_R_DROP,
    ),
}
"""Name -> (a line that describes it, values)."""


def describe_recipe(name: str) -> str:
    """Return the line that describes a recipe."""
    return RECIPES[name][0] if name in RECIPES else "your own settings"
