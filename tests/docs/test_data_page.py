"""The examples of docs/data.md are read, and all as the same question."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.runs import ROOT

from qa.data.examples import Example
from qa.data.formats import read_examples

DOCS = ROOT / "docs" / "data.md"
EXAMPLES = dict(
    re.findall(r"`(\w+\.\w+)`:\n\n```\w*\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
)


def test_every_format_has_an_example() -> None:
    assert sorted(EXAMPLES) == [
        *("flat.csv", "flat.json", "flat.jsonl", "korquad2.json", "mrqa.jsonl", "nested.json")
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(EXAMPLES[name], encoding="utf-8")
    (found,) = read_examples(str(tmp_path / name))
    title = "" if name.endswith(".jsonl") else "강나루"
    context = "강나루는 1921년에 태어났다."
    assert found == Example("1", "언제 태어났나?", context, ("1921년",), (5,), title)
