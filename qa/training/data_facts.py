"""What a model card tells of the data of a run: names without folders, counts, what is missed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qa.data.examples import Example
from qa.data.formats.hub import HUB_PREFIX, names_hub_data, parse_source
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
    return [
        parse_source(source.name, "")[0] if names_hub_data(source.name) else Path(source.name).name
        for source in split_sources(text)
    ]


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
