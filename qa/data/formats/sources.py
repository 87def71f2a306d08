"""Sources: one or several files, folders and hub data sets, some repeated in training."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from qa.data.examples import Example
from qa.data.formats.checks import check_examples
from qa.data.formats.collect import collect_examples
from qa.data.formats.columnar import columnar_rows
from qa.data.formats.excel import excel_rows
from qa.data.formats.files import DataFile, is_archive, open_files
from qa.data.formats.findings import Findings
from qa.data.formats.hub import HUB_PREFIX, hub_rows, parse_source
from qa.data.formats.json_rows import Row, json_rows
from qa.data.formats.saved import is_saved
from qa.data.formats.splits import NO_SPLITS, split_of
from qa.data.formats.tables import csv_rows
from qa.data.overlap import find_overlap
from qa.engine.errors import UserError, first_few, notice, require

MOST_REPEATS = 100
TABLES: dict[str, Callable[[DataFile, bool], Iterator[Row]]] = {
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": columnar_rows,
    ".arrow": columnar_rows,
}
"""Suffix -> what yields the rows of such a file, which is one table"""


@dataclass(frozen=True)
class Source:
    """One of the sources that were named together."""

    name: str
    times: int = 1  # how often an epoch shows its questions


def split_sources(text: str) -> list[Source]:
    """Return the sources in `a.json,b.csv@2`; a text that is the name of a file is one source."""
    if os.path.exists(text):
        return [Source(text)]
    sources = []
    for part in text.split(","):
        name, at, times = part.strip().rpartition("@")
        weighted = at and not os.path.exists(part.strip()) and re.fullmatch("[0-9]+", times)
        source = Source(name, int(times[:9])) if weighted else Source(part.strip())
        require(source.name, f"{text!r}: a name is missing between the commas")
        require(
            1 <= source.times <= MOST_REPEATS,
            f"{part.strip()}: the number after @ says how often an epoch shows the questions, 1 to"
            f" {MOST_REPEATS}",
        )
        sources.append(source)
    names = [source.name for source in sources]
    twice = [name for name in names if names.count(name) > 1]
    require(not twice, f"{text}: names {', '.join(twice[:1])} twice; NAME@2 repeats it")
    return sources


def read_examples(
    source: str,
    split: str = "train",
    labelled: bool = True,
    nfc: bool = False,
    by_text: bool = False,
) -> list[Example]:
    """Read the examples of a file, a folder, a .zip, or of `hub:NAME[:[CONFIG:]SPLIT]`.

    Questions are stripped.

    Args:
        source: Several are separated by commas.
        split: What is read of a hub data set, a folder, an archive or a file with several splits,
            unless the source names one.
        labelled: Whether to train or score on them; otherwise answers are not read.
        nfc: Compose all text to Unicode NFC and move the answers with it.
        by_text: Answers need no place. One without answer_start is placed where its text stands
            first; one whose text stands nowhere is among `Example.reference_answers` only.

    Raises:
        UserError: Something in a file is not what it should be; names the file and the position.
    """
    examples, times = _read_all(source, split, labelled, nfc, by_text, check=True)
    require(not times, f"{source}: @ repeats training data; leave it out here")
    return examples


def read_training(
    source: str, split: str = "train", nfc: bool = False, by_text: bool = False
) -> tuple[list[Example], dict[str, int]]:
    """Return the examples as `read_examples` does, and how often an epoch shows repeated ones.

    The second value maps the ids of the questions of `FILE@N` to N, if that is 2 or more.
    """
    return _read_all(source, split, True, nfc, by_text, check=True)


def read_unchecked(
    source: str, split: str = "train", labelled: bool = True, nfc: bool = False
) -> list[Example]:
    """Return the examples unchecked: ids may repeat, answers may be misplaced.

    The arguments are those of `read_examples`.
    """
    return _read_all(source, split, labelled, nfc, by_text=False, check=False)[0]


def _read_all(
    text: str, split: str, labelled: bool, nfc: bool, by_text: bool, check: bool
) -> tuple[list[Example], dict[str, int]]:
    """Return the examples of all sources, and id -> times of the repeated ones.

    For the arguments see `_read_source`.
    """
    examples: list[Example] = []
    times: dict[str, int] = {}
    seen: set[str] = set()
    sources = split_sources(text)
    for number, source in enumerate(sources, 1):
        read = _read_source(source.name, split, labelled, nfc, by_text, check)
        again = find_overlap(examples, read).questions
        if again:
            notice(
                f"{source.name}: {len(again):,} of {len(read):,} questions stand in a source before"
                f" it, too, context and all ({first_few(again)})"
            )
        # Ids as 1, 2, 3 are common: question 7 of the second source becomes 2:7.
        read = [replace(e, id=f"{number}:{e.id}") if e.id in seen else e for e in read]
        seen.update(example.id for example in read)
        if source.times > 1:
            times.update((example.id, source.times) for example in read)
        examples += read
    if check and len(sources) > 1:
        check_examples(examples, text)  # a prefixed id may be another question's id
    return examples, times


def _read_source(
    source: str, split: str, labelled: bool, nfc: bool, by_text: bool, check: bool
) -> list[Example]:
    """Return the examples of one source, and say what was decided about them.

    Args:
        source: Its name.
        split: See `read_examples`.
        labelled: See `read_examples`.
        nfc: See `read_examples`.
        by_text: See `read_examples`.
        check: Raise UserError for ids that repeat and answers that are misplaced.
    """
    findings = Findings(source, by_text)
    rows = _rows(source, split, labelled)
    examples = collect_examples(rows, labelled, nfc, findings)
    require(examples, f"{source}: holds no questions")
    if check:
        findings.require_places()
        check_examples(examples, source)
    findings.give()
    return examples


def _rows(source: str, split: str, labelled: bool) -> Iterator[Row]:
    """Yield the rows of one source, whatever its format."""
    path, split, is_named = _path_and_split(source, split)
    if path is None:
        yield from hub_rows(source, split)
        return
    names_part = is_named and not (os.path.isdir(path) or is_archive(path))
    for file in open_files(path, split, is_named):
        is_one_table = file.suffix in TABLES
        require(not (is_one_table and names_part), f"{file.name}: {NO_SPLITS}")
        if is_one_table:
            yield from TABLES[file.suffix](file, labelled)
        elif file.suffix == ".xlsx":
            yield from excel_rows(file, labelled, split, names_part)
        else:
            yield from json_rows(file, split, names_part)


def _path_and_split(source: str, split: str) -> tuple[Path | None, str, bool]:
    """Return the path that a source names, its split, and whether the source names that, too.

    It may have a split behind it, `FOLDER:test`, unless a file has that name. The path is None if
    `datasets` must load the source.
    """
    if source.startswith(HUB_PREFIX):
        name, _, named = parse_source(source, "")
        return (Path(name) if is_saved(name) else None), named or split, bool(named)
    before, _, named = source.rpartition(":")
    if not os.path.exists(before) or "/" in named or os.path.exists(source):
        return Path(source), split, False
    found = split_of(named)
    if found is None:
        raise UserError(f"{source}: {named!r} is no split; expected train, validation or test")
    return Path(before), found, True
