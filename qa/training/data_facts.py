"""What a model card tells of the data of a run: names without folders, counts, what is missed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from qa.data.examples import Example
from qa.data.formats.hub import HUB_PREFIX, parse_source
from qa.data.formats.sources import split_sources
from qa.data.nfc import hangul_form
from qa.data.windows.coverage import Coverage
from qa.outputs.card_facts import DataFacts


def data_facts(
    source: str, examples: Sequence[Example], windows: int, fingerprint: str, coverage: Coverage
) -> DataFacts:
    """Return the facts of one part of the data.

    Args:
        source: As it was passed to train.py.
        examples: The part's questions; training may repeat some.
        windows: How many they were cut into.
        fingerprint: Of texts, tokenizer and window options.
        coverage: Was given all of these windows.
    """
    missed = [f"{len(ids):,} {what}" for what, ids, _ in coverage.findings() if ids]
    names = ", ".join(source_names(source))
    questions = len({example.id for example in examples})
    return DataFacts(names, questions, windows, fingerprint, tuple(missed))


def source_names(text: str) -> list[str]:
    """Return the names of the sources: ids of hub data sets, files and folders without the path."""
    return [source_name(source.name) for source in split_sources(text)]


def source_name(source: str) -> str:
    """Return the name of one source: no path, of what is on this machine."""
    if source.startswith(HUB_PREFIX):
        name = parse_source(source, "")[0]
        return last_name(name) if Path(name).exists() else name
    folder, colon, split = source.rpartition(":")
    if folder and not Path(source).exists() and Path(folder).exists():
        return f"{last_name(folder)}{colon}{split}"
    return last_name(source)


def last_name(path: str) -> str:
    """Return the name of a file or folder, also of `.` and of one with a / at its end."""
    return os.path.basename(os.path.abspath(path))


def hub_ids(text: str) -> list[str]:
    """Return the ids of those sources that are data sets of the hub."""
    ids = [
        parse_source(source.name, "")[0]
        for source in split_sources(text)
        if source.name.startswith(HUB_PREFIX)
    ]
    return [name for name in ids if not Path(name).exists()]


def is_korean(examples: Sequence[Example]) -> bool:
    """Return whether more than half of the questions have Hangul."""
    return 2 * sum(hangul_form(each.question) is not None for each in examples) > len(examples)
