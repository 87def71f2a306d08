"""A BERT of a known model's shape with random weights, and texts of random words for it.

No hub and no data is needed; nothing can be learnt from it, but a step costs what it costs. A
question and its context are one window, with as many tokens as the windows of KorQuAD have.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

# Every 1/32 quantile of the lengths of KorQuAD's windows (384 tokens, overlap 128; mean 291).
QUANTILES = [
    146, 168, 198, 211, 218, 224, 230, 234, 239, 243, 248, 254, 259, 264, 270, 276, 283,
    288, 295, 302, 311, 320, 330, 339, 354, 371, 384, 384, 384, 384, 384, 384, 384,
]  # fmt: skip
SMALL = {"hidden_size": 384, "intermediate_size": 1536, "vocab_size": 46000}
TINY = {"hidden_size": 32, "intermediate_size": 64, "vocab_size": 400}
SHAPES = {
    "bert-base": {"vocab_size": 32000},  # klue/bert-base; the rest is BertConfig's default
    "small": SMALL,  # multilingual-e5-small, with the vocabulary of Korean texts
    "tiny": {**TINY, "num_hidden_layers": 2, "num_attention_heads": 2},  # to try the benchmark
}
HELP = (
    "a model of klue/bert-base's or multilingual-e5-small's shape (tiny: to try it) with random"
    " weights, and windows of random words as long as KorQuAD's"
)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
QUESTION = 12  # tokens


def complete(options: argparse.Namespace, folder: Path, count: int) -> None:
    """Make model and data in `folder`, for so many windows, and name them in `options`."""
    import torch
    from transformers import BertConfig, BertForQuestionAnswering, BertTokenizerFast

    if options.model is not None or options.data is not None:
        raise SystemExit("error: pass --shape, or --model and --data, not both")
    model = folder / "model"
    torch.manual_seed(0)
    config = BertConfig(**SHAPES[options.shape])
    BertForQuestionAnswering(config).save_pretrained(model)
    words = [f"w{number}" for number in range(config.vocab_size - len(SPECIAL))]
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *words]) + "\n", encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(model)
    rng = np.random.default_rng(0)
    rows = [make_row(number, length, words, rng) for number, length in enumerate(draw(rng, count))]
    (folder / "data.json").write_text(json.dumps(rows), encoding="utf-8")
    options.model, options.data = str(model), str(folder / "data.json")
    options.max_seq_length = QUANTILES[-1]


def draw(rng: np.random.Generator, count: int) -> list[int]:
    """Lengths of windows in tokens, distributed as KorQuAD's."""
    drawn = np.interp(rng.random(count), np.linspace(0, 1, len(QUANTILES)), QUANTILES)
    return [int(length) for length in drawn]


def make_row(
    number: int, length: int, words: list[str], rng: np.random.Generator
) -> dict[str, object]:
    """A row of flat SQuAD-style JSON whose window has so many tokens, each of them a word."""
    drawn = [words[i] for i in rng.integers(len(words), size=length - 3)]
    question, context = drawn[:QUESTION], drawn[QUESTION:]
    place = int(rng.integers(len(context)))
    start = len(" ".join([*context[:place], ""]))
    return {
        "id": str(number),
        "question": " ".join(question),
        "context": " ".join(context),
        "title": str(number),  # an article of its own
        "answers": [{"text": context[place], "answer_start": start}],
    }
