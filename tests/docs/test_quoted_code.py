"""Code that the documents quote stands in the files it is quoted from.

A block is a quotation if a comment before it names the file, `<!-- quote: qa/engine/step.py -->`,
or a room, `<!-- quote: qa/engine -->`, of which one file must have the lines. "..." on a line of
its own stands for lines that are left out. The code's own comments may be left out without a sign.
"""

from __future__ import annotations

import re
from textwrap import dedent

import pytest
from support.runs import ROOT

PAGES = ("README.md", "README.ko.md", "docs/loop.md")
QUOTE = re.compile(r"<!-- quote: (\S+) -->\n+```python\n(.*?)```", re.DOTALL)
QUOTATIONS = [
    pytest.param(place, code, id=f"{page}-{number}")
    for page in PAGES
    for number, (place, code) in enumerate(
        QUOTE.findall((ROOT / page).read_text(encoding="utf-8")), start=1
    )
]


def missing_part(code: str, source: str) -> str | None:
    """The first part of a quotation that does not stand in the source, in order; None if all do."""
    lines = [line for line in source.splitlines() if not line.lstrip().startswith("#")]
    place = 0
    for part in re.split(r"^\s*\.\.\.\n", code, flags=re.MULTILINE):
        wanted = dedent(part).strip("\n").splitlines()
        starts = range(place, len(lines) - len(wanted) + 1)
        found = [i for i in starts if same(lines[i : i + len(wanted)], wanted)]
        if not found:
            return part
        place = found[0] + len(wanted)
    return None


def same(lines: list[str], wanted: list[str]) -> bool:
    """Whether lines of a file are the wanted ones, however far they are indented."""
    found = dedent("\n".join(lines)).split("\n")
    return all(w in (f, re.sub(r"  # .*", "", f)) for f, w in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("place", "code"), QUOTATIONS)
def test_quoted_code_stands_in_its_file(place: str, code: str) -> None:
    path = ROOT / place
    files = sorted(path.glob("*.py")) if path.is_dir() else [path]
    missing = [missing_part(code, file.read_text(encoding="utf-8")) for file in files]
    assert None in missing, f"{place} has no such lines (or not after those before):\n{missing[0]}"


@pytest.mark.parametrize("page", PAGES)
def test_every_page_quotes_and_every_quotation_is_found(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(QUOTE.findall(text)) == text.count("<!-- quote:") > 0


@pytest.mark.parametrize(
    ("code", "is_there"),
    [
        ("a = 1\nb = 2\n", True),
        ("a = 1\nb = 2  # two\n", True),
        ("a = 1\nb = 2  # three\n", False),
        ("    a = 1\n    b = 2\n", True),
        ("a = 1\n...\nreturn b\n", True),
        ("a = 1\nreturn b\n", False),  # a line is left out without a word
        ("return b\n...\na = 1\n", False),  # not in order
        ("a = 1\n  b = 2\n", False),  # not the file's indentation
        ("a = 1\nb = 3\n", False),
    ],
)
def test_an_altered_line_is_noticed(code: str, is_there: bool) -> None:
    source = "def f():\n\n    a = 1\n    # and\n    b = 2  # two\n    return b\n"
    assert (missing_part(code, source) is None) == is_there
