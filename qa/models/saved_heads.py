"""The heads of a span reader that lie in files of their own: which there are, and loading them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from qa.models.pair_head import saved_width
from qa.models.part_files import HEADS, load_part
from qa.models.pretrained import saved_file


def find_heads(
    name: str, revision: str | None, boundaries: bool | None, pair_width: int | None
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return the heads that a reader is to be made with, and the files of those that are saved.

    The former are arguments of `SpanReader`, the latter are by attribute of it.

    Args:
        name: A directory or hub id.
        revision: Commit of a hub id.
        boundaries: See `SpanReader.from_pretrained`.
        pair_width: See `SpanReader.from_pretrained`.

    Raises:
        UserError: The file of a pair head is damaged.
    """
    unwanted = {"boundary_head"} if boundaries is False else set()
    unwanted |= {"pair_head"} if pair_width == 0 else set()
    found = {h: saved_file(name, f, revision) for h, f in HEADS.items() if h not in unwanted}
    files = {head: file for head, file in found.items() if file is not None}
    heads = {
        "boundaries": "boundary_head" in files if boundaries is None else boundaries,
        "pair_width": pair_width or 0,
    }
    if "pair_head" in files:  # as wide as it was saved, or it would not load
        heads["pair_width"] = saved_width(files["pair_head"])
    return heads, files


def load_heads(reader: nn.Module, files: dict[str, Path]) -> list[str]:
    """Load the saved heads of a reader; return the prefixes of the names of those that are new.

    `files`: Of `find_heads`, whose `UserError` for a damaged file this raises, too.
    """
    heads = {name: getattr(reader, name) for name in HEADS}
    for name, file in files.items():
        load_part(heads[name], file)
    return [f"{name}." for name, head in heads.items() if head is not None and name not in files]
