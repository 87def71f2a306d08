"""The page: one HTML file with all that it needs inside, which asks nothing of any network."""

from __future__ import annotations

import json
import re
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from qa.engine.atomic_files import replace_file
from qa.engine.json_files import finite

SCRIPTS = (
    "elements.js",
    "plot.js",
    "figures.js",
    "tables.js",
    "probability.js",
    "outcomes.js",
    "marks.js",
    "questions.js",
    "page.js",
)


def write_page(path: Path, content: dict[str, Any]) -> None:
    """Write a report's content as a page, atomically."""
    with replace_file(path) as file:
        file.write(make_page(content))


def make_page(content: dict[str, Any]) -> str:
    """Return the page; texts are in it as JSON, which the script puts in as text only."""
    folder = files("qa.report") / "page"
    read = {each.name: each.read_text(encoding="utf-8") for each in folder.iterdir()}
    parts = {
        "title": escape(f"Report: {content['names'][-1]}"),
        "style": read["page.css"],
        "content": as_script(content),
        "script": "\n".join(read[name] for name in SCRIPTS),
    }
    # All at once, so that nothing is taken for a place in what was put into another.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], read["page.html"])


def as_script(content: dict[str, Any]) -> str:
    """Return JSON that may stand in a script element: it holds no `<`, so nothing ends it."""
    # Only a figure can be nan; to look for one in all questions would take a third of the time.
    figures = {k: v if k in ("questions", "contexts") else finite(v) for k, v in content.items()}
    text = json.dumps(figures, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")
