"""An application around another that counts its responses."""

from __future__ import annotations

import time
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qa.serving.metrics import Requests


class Counted:
    """Counts the responses of an application by route and status code.

    Args:
        app: The other application.
        requests: Where they are counted.
        routes: The paths that are told apart. All others count as one: clients may send any.
    """

    def __init__(self, app: ASGIApp, requests: Requests, routes: Collection[str]) -> None:
        self.app = app
        self.requests = requests
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        started = time.monotonic()
        path = scope.get("path", "")

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = path if path in self.routes else "other"
                self.requests.counts[route, message["status"]] += 1
                if (route, message["status"]) == ("/answer", 200):
                    self.requests.seconds.observe(time.monotonic() - started)
            await send(message)

        await self.app(scope, receive, count)
