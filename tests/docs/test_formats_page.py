"""The examples of docs/formats.md are read, and all as the same question."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.reading import read, write
from support.runs import ROOT

from qa.data.examples import Example
from qa.data.formats.names import FIELDS

DOCS = ROOT / "docs" / "formats.md"
EXAMPLES = dict(
    re.findall(r"`(\w+\.\w+)`:\n\n```\w*\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
)


QUESTION = "언제 태어났나?"
CONTEXT = "강나루는 1921년에 태어났다."


def test_every_format_has_an_example() -> None:
    assert sorted(EXAMPLES) == [
        *("aihub.json", "cells.csv", "columns.json", "doccano.jsonl", "flat.csv", "flat.json"),
        *("flat.jsonl", "haystack.csv", "korquad2.json", "label_studio.json", "mrqa.jsonl"),
        *("nested.json", "parts.json", "unquoted.tsv"),
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str, tmp_path: Path) -> None:
    found, notices = read(write(tmp_path / name, EXAMPLES[name]))
    title = "" if name.endswith(".jsonl") else "강나루"
    assert found[0] == Example("1", QUESTION, CONTEXT, ("1921년",), (5,), title)
    assert len(found) == 1 + (name == "unquoted.tsv")
    assert len(notices) == 2 * (name == "parts.json")  # the part, and the place of the answer


def test_quotes_of_the_example_are_characters(tmp_path: Path) -> None:
    found, _ = read(write(tmp_path / "a.tsv", EXAMPLES["unquoted.tsv"]))
    assert (found[1].title, found[1].context) == ('"강나루" 이야기', '"강나루"는 사람이다.')


def test_every_name_of_the_table_is_on_the_page() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    names = {field: {field, *re.findall(r"`([\w.]+)`|([가-힣]+)", cell)} for field, cell in rows}
    for field in FIELDS.keys() - {"detected_answers"}:
        written = {"".join(name) for name in names[field]}
        assert set(FIELDS[field]) <= written, field
