"""A real browser without a window, driven through ChromeDriver by the W3C's WebDriver protocol.

https://www.w3.org/TR/webdriver2/
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id, the same everywhere
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Browser:
    """A session of a browser at `url`, that of ChromeDriver with the session's id."""

    url: str

    def call(self, method: str, path: str, /, **sent: Any) -> Any:
        """Send a command and return its value."""
        return call(method, self.url + path, **sent)

    def open(self, address: str) -> None:
        """Open a page and wait until it is loaded."""
        self.call("POST", "/url", url=address)

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a function returns in the page."""
        return self.call("POST", "/execute/sync", script=script, args=list(arguments))

    def type(self, selector: str, text: str) -> None:
        """Type into an element, as a keyboard does."""
        self.call("POST", f"/element/{self._find(selector)}/value", text=text)

    def press(self, key: str) -> None:
        """Press a key wherever the focus is."""
        steps = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", actions=[{"type": "key", "id": "keys", "actions": steps}])

    def click(self, selector: str) -> None:
        """Click on an element."""
        self.call("POST", f"/element/{self._find(selector)}/click")

    def resize(self, width: int, height: int) -> None:
        """Give the page this size in CSS pixels, narrower than a window can be."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", **size)

    def devtools(self, command: str, **sent: Any) -> Any:
        """Send a command of Chrome's own protocol."""
        return self.call("POST", "/goog/cdp/execute", cmd=command, params=sent)

    def screenshot(self, path: Path) -> None:
        """Write what is seen as a PNG."""
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def _find(self, selector: str) -> str:
        """Return the id of the first element of a CSS selector."""
        found = self.call("POST", "/element", using="css selector", value=selector)
        return str(found[ELEMENT])


def call(method: str, address: str, /, **sent: Any) -> Any:
    """Send a command of WebDriver and return its value."""
    body = json.dumps(sent).encode() if method == "POST" else None
    kind = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, body, kind, method=method)
    with LOCAL.open(request, timeout=60) as response:
        return json.load(response)["value"]


@contextmanager
def browser(folder: Path, language: str = "en") -> Iterator[Browser]:
    """A browser whose profile is in `folder` and that prefers `language`."""
    assert DRIVER is not None
    with subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        try:
            found = None
            while found is None:  # until its line that names the port; an end is an error
                line = driver.stdout.readline()
                assert line, "chromedriver ended"
                found = re.search(r"started successfully on port (\d+)", line)
            url = f"http://127.0.0.1:{found[1]}/session"
            profile = [f"--user-data-dir={folder}", f"--lang={language}"]
            options = {
                "binary": BROWSER,
                "args": [*FLAGS, *profile],
                "prefs": {"intl.accept_languages": language},
            }
            asked = {"alwaysMatch": {"goog:chromeOptions": options}}
            session = Browser(f"{url}/{call('POST', url, capabilities=asked)['sessionId']}")
            try:
                yield session
            finally:
                session.call("DELETE", "")
        finally:
            driver.terminate()
