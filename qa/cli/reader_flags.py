"""The trained reader that `qa predict` and `qa evaluate` load, and how it is to read."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import TYPE_CHECKING

from qa.answering.options import DecodeOptions
from qa.cli.option_flags import add_option
from qa.data.windows.options import WindowOptions

if TYPE_CHECKING:
    from qa.answering.reader import Reader

DECODING = {field.name: field for field in fields(DecodeOptions)}
LENGTHS = (*fields(WindowOptions), DECODING["max_answer_length"])
"""The options that decide what of a text is read and how long an answer can be."""
CHOSEN = (*LENGTHS, DECODING["decoding"])


def add_reader_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `load_reader` goes by, but for the model and the batch size."""
    for field in CHOSEN:
        add_option(parser, field, default="the model's own")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument(
        "--precision",
        default="auto",
        help="auto, fp32 (full fp32 on CUDA, without TF32), bf16 or fp16",
    )
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run code that comes with the model; read it first",
    )


def load_reader(options: argparse.Namespace, batch_size: int | None = None) -> Reader:
    """Load the reader `options.model`; for `batch_size` see `Reader.from_pretrained`."""
    from qa.answering.reader import Reader

    given = vars(options)
    return Reader.from_pretrained(
        options.model,
        options.device,
        options.precision,
        batch_size,
        options.trust_remote_code,
        **{field.name: given[field.name] for field in CHOSEN if field.name in given},
    )
