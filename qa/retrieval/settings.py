"""What was decided when an index was made, and where its parts are: the file index.json."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qa.engine.config import from_values, option, require_at_least
from qa.engine.errors import require
from qa.engine.json_files import read_json, write_json
from qa.retrieval.cut import LEAST_SIZE

FILE = "index.json"
FORMAT = 1


@dataclass(frozen=True)
class IndexSettings:
    """How an index is made; the options' help texts say what each is."""

    passage_characters: int = option(
        500, "length of the passages that documents are cut into", resume="same"
    )
    korean: bool = option(
        False,
        "also search by the morphemes of a Korean analyser (needs qa[korean]); decided when an"
        " index is made",
        resume="same",
    )
    dense: str | None = option(
        None,
        "also search by the vectors of this encoder, a directory or hub id such as"
        " intfloat/multilingual-e5-small; decided when an index is made",
        resume="same",
    )
    query_prefix: str = option(
        "query: ", "of --dense: what its encoder wants before a question", resume="same"
    )
    passage_prefix: str = option(
        "passage: ", "of --dense: what its encoder wants before a passage", resume="same"
    )

    def __post_init__(self) -> None:
        require_at_least(self, "passage_characters", LEAST_SIZE)


@dataclass
class Contents:
    """The content of index.json."""

    settings: IndexSettings
    legs: dict[str, dict[str, str]] = field(default_factory=dict)  # name -> folder, made_by, table

    def write(self, directory: Path) -> None:
        """Write the file, atomically."""
        write_json(directory / FILE, {"format": FORMAT, **asdict(self)})


def read_contents(directory: Path) -> Contents:
    """Read index.json; UserError if there is none, or if another version of qa made it."""
    require(directory.is_dir(), f"{directory}: no such index; `qa index FILES --output` makes one")
    path = directory / FILE
    require(path.is_file(), f"{directory}: is no index (it has no {FILE})")
    content: dict[str, Any] = read_json(path, "an index's settings")
    require(
        content.get("format") == FORMAT,
        f"{directory}: is an index of format {content.get('format')!r}, and this version of qa"
        f" reads {FORMAT}; make it anew from the documents, in another directory",
    )
    settings: Any = content.get("settings")
    legs: Any = content.get("legs")
    require(
        isinstance(settings, dict)
        and isinstance(legs, dict)
        and all(_is_leg(name, leg) for name, leg in legs.items()),
        f"{path}: is damaged (settings or legs); make the index anew from the documents, in another"
        " directory",
    )
    return Contents(from_values(IndexSettings, settings), legs)


def _is_leg(name: str, leg: Any) -> bool:
    """Return whether a writer says so of a leg: its folder is removed, and must be in the index."""
    return (
        isinstance(leg, dict)
        and isinstance(leg.get("made_by"), str)
        and isinstance(leg.get("folder"), str)
        and re.fullmatch(rf"{re.escape(name)}\.[0-9]{{1,9}}", leg["folder"]) is not None
    )
