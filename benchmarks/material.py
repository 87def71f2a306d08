"""The model and data that the benchmarks run on: given ones, or a small set made on the spot."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from qa.data.examples import Example
from qa.data.formats import read_examples
from qa.data.holdout import split_holdout
from qa.data.windows.options import WindowOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that every benchmark has."""
    parser.add_argument("--model", help="directory or hub id; by default a small new BERT")
    parser.add_argument("--data", help="SQuAD-style file; by default the embedded data")
    parser.add_argument("--holdout", type=float, default=0.2, help="share held out (default 0.2)")
    parser.add_argument("--max-seq-length", type=int, default=384)
    parser.add_argument("--window-overlap", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3, help="rounds, in each of which all run")
    parser.add_argument("--json", metavar="FILE", help="write every run's figures")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)


def window_options(options: argparse.Namespace) -> WindowOptions:
    """How contexts are cut."""
    return WindowOptions(options.max_seq_length, options.window_overlap)


def read_parts(options: argparse.Namespace) -> tuple[list[Example], list[Example]]:
    """(training, held-out) examples."""
    return split_holdout(read_examples(options.data), options.holdout)


def complete(
    options: argparse.Namespace, folder: Path, hidden_size: int = 256, num_layers: int = 4
) -> None:
    """Make in `folder` what was not given: a small BERT with new weights, and the embedded data."""
    if options.model is not None and options.data is not None:
        return
    if (options.model is None) != (options.data is None):
        raise SystemExit("error: pass --model and --data together, or neither")
    import torch
    from transformers import BertConfig, BertForQuestionAnswering

    from qa.data.quickstart.passages import make_quickstart
    from qa.data.quickstart.tokenizer import train_tokenizer

    training, held_out = make_quickstart(0, 1200, 300)
    examples = training + held_out
    tokenizer = train_tokenizer(text for e in examples for text in (e.question, e.context))
    torch.manual_seed(0)
    sizes = {"hidden_size": hidden_size, "num_hidden_layers": num_layers, "num_attention_heads": 4}
    config = BertConfig(
        **sizes,
        vocab_size=len(tokenizer),
        intermediate_size=4 * hidden_size,
        pad_token_id=tokenizer.pad_token_id,
    )
    BertForQuestionAnswering(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    (folder / "data.json").write_text(json.dumps([as_row(e) for e in examples]), encoding="utf-8")
    options.model, options.data = str(folder / "model"), str(folder / "data.json")
    options.max_seq_length, options.window_overlap = 128, 32


def as_row(example: Example) -> dict[str, Any]:
    """A row of flat SQuAD-style JSON."""
    return {
        "id": example.id,
        "question": example.question,
        "context": example.context,
        "title": example.title,
        "answers": [
            {"text": text, "answer_start": start}
            for text, start in zip(example.answers, example.answer_starts, strict=True)
        ],
    }


def write_copies(examples: list[Example], copies: int, path: Path) -> None:
    """Write the examples so many times, under new ids, as a SQuAD-style file."""
    paragraphs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for example in examples:
        row = as_row(example)
        question = {name: row[name] for name in ("id", "question", "answers")}
        paragraphs.setdefault((example.title, example.context), []).append(question)
    articles = [
        {
            "title": title,
            "paragraphs": [
                {"context": context, "qas": [{**q, "id": f"{q['id']}-{copy}"} for q in questions]}
            ],
        }
        for copy in range(copies)
        for (title, context), questions in paragraphs.items()
    ]
    path.write_text(json.dumps({"data": articles}, ensure_ascii=False), encoding="utf-8")


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for what is made on the spot."""
    return tempfile.TemporaryDirectory(prefix="qa-benchmark-")


def arguments_for_runs(options: argparse.Namespace, names: list[str]) -> list[str]:
    """The command line that hands the options of these names on to a run."""
    line = []
    for name in names:
        value = getattr(options, name)
        if value is not None:
            line += [f"--{name.replace('_', '-')}", str(value)]
    return line


SHARED = ["model", "data", "holdout", "max_seq_length", "window_overlap"]
