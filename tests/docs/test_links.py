"""What the documents name exists: files they link to, paths, modules and commands."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.runs import ROOT

from qa.__main__ import COMMANDS

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README*.md", "docs/*.md", ".github/*.md", "CHANGELOG.md")
    for path in ROOT.glob(pattern)
)
LONGEST_LINE = 110

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]*)?\)")
PATH = re.compile(r"(?<![\w./-])(?:qa|tests|benchmarks|docs|\.github)/[\w./-]*[\w/]")
MODULE = re.compile(r"(?:\b(?:from|import)|-m) ((?:qa|benchmarks)(?:\.\w+)*)")
COMMAND = re.compile(r"(?:-m qa|`qa) ([a-z][a-z-]*)")


def page_text(page: str) -> str:
    """A page's content."""
    return (ROOT / page).read_text(encoding="utf-8")


def headings(path: Path) -> set[str]:
    """The anchors that a page's headings make, as GitHub writes them."""
    found = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target, anchor in LINK.findall(page_text(page)):
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), f"{page} links to {target}"
        assert not anchor or anchor in headings(path), f"{page} links to {target}{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page: str) -> None:
    missing = {name for name in PATH.findall(page_text(page)) if not (ROOT / name).exists()}
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_modules_exist(page: str) -> None:
    missing = {name for name in MODULE.findall(page_text(page)) if find_spec(name) is None}
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page: str) -> None:
    assert set(COMMAND.findall(page_text(page))) <= COMMANDS.keys()


@pytest.mark.parametrize("page", PAGES)
def test_lines_are_short(page: str) -> None:
    is_code, long = False, []
    for line in page_text(page).splitlines():
        is_code ^= line.startswith("```")
        if len(line) > LONGEST_LINE and not is_code and not line.startswith("|"):
            long.append(line)
    assert not long, page
