"""A page in a frame of a real browser without a window, and a script that tells what it sees."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from support.browser import BROWSER

TELL = """const tell = (value) => {
  const told = parent.document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify(value);
  parent.document.body.append(told);
};"""


def run_in_page(page: str, script: str, width: int, folder: Path) -> Any:
    """Open a page, run a script behind its own, and return the value that it calls `tell` with.

    The page is in a frame, since no window of a browser is as narrow as that of a phone.

    Args:
        page: The HTML.
        script: What to do in it, as a person would: click, type, look.
        width: Of the frame, in pixels.
        folder: Gets the browser's files.
    """
    whole = page.replace("</body>", f"<script>{TELL}\n{script}</script></body>")
    frame = f'<iframe width="{width}" height="900" srcdoc="{html.escape(whole)}"></iframe>'
    outer = folder / "outer.html"
    outer.write_text(f"<!doctype html><meta charset=utf-8><body>{frame}</body>", encoding="utf-8")
    command = [
        *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
        *(f"--user-data-dir={folder / 'browser'}", "--window-size=1400,1000"),
        *("--virtual-time-budget=3000", outer.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, "the script failed before it told anything"
    return json.loads(html.unescape(found[1]))
