"""Weights in files of their own, beside the file that transformers reads."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from qa.engine.errors import UserError, cut

BOUNDARY_FILE = "boundary_head.safetensors"
PAIR_FILE = "pair_head.safetensors"
DECODER_FILE = "decoder.safetensors"
HEADS = {"boundary_head": BOUNDARY_FILE, "pair_head": PAIR_FILE}
"""The file of each head of a span reader, by the attribute that holds the head"""

WITHOUT = {
    BOUNDARY_FILE: "to answer by whole tokens",
    PAIR_FILE: "to score both ends of an answer apart",
    DECODER_FILE: "to go on with the encoder alone",
}
"""What a person removes a file for"""
PART_FILES = tuple(WITHOUT)


def has_decoder(name: str) -> bool:
    """Return whether a directory holds a generative reader; of the hub, settings tell it."""
    return os.path.isfile(os.path.join(name, DECODER_FILE))


def load_part(part: nn.Module, file: Path) -> None:
    """Load the weights of a part; UserError if the file is damaged or belongs to another model."""
    from safetensors.torch import load_file

    try:
        part.load_state_dict(load_file(file))
    except Exception as error:  # safetensors and torch raise their own, without a common base
        raise damaged(file, error) from error


def damaged(file: Path, error: Exception) -> UserError:
    """Return what says that a file does not hold the part that belongs to a model."""
    what = file.stem.replace("_", " ")
    return UserError(
        f"{file}: cannot be loaded as this model's {what} ({cut(str(error))}); put it back, or"
        f" remove it {WITHOUT[file.name]}"
    )


@contextmanager
def written_weights(directory: Path) -> Iterator[None]:
    """Around what writes weights and config.json into a directory; OSError if it fails."""
    from safetensors import SafetensorError

    try:
        yield
        # safetensors 0.8 lets only the owner read its files, whatever the umask (its issue 782).
        for file in Path(directory).glob("*.safetensors"):
            shutil.copymode(file.with_name("config.json"), file)
    except SafetensorError as error:  # what it makes of a failed write, e.g. on a full disk
        raise OSError(errno.EIO, str(error), str(directory)) from error


def without_prefix(weights: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the weights whose names start with `prefix`, under their names without it."""
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
