"""The routes: what a request becomes, and what each failure is called in HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

import qa
from qa.engine.errors import UserError
from qa.serving import metrics
from qa.serving.batcher import Batcher, Closed, Expired, QueueFull
from qa.serving.body import read_body
from qa.serving.counted import Counted
from qa.serving.hosts import KnownHosts
from qa.serving.openapi import describe
from qa.serving.options import PASSAGE_CHARACTERS, Collection, ServingOptions
from qa.serving.reading import Asked, Found
from qa.serving.requests import TooLarge, parse

Questions: TypeAlias = Batcher[Asked, Found]

CLIENT_LEFT = 499  # as nginx counts it; nobody sees the response
PAGE = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
PAGE_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


@dataclass(frozen=True)
class Service:
    """What the routes answer from.

    Args:
        questions: The queue of the reader.
        options: The limits.
        model: The reader's name, for people.
        max_top_k: Answers that the reader ranks of each question.
        collection: What questions without a context are asked to, if anything.
    """

    questions: Questions
    options: ServingOptions
    model: str
    max_top_k: int
    collection: Collection | None = None
    requests: metrics.Requests = field(default_factory=metrics.Requests)

    async def answer(self, request: Request) -> Response:
        """Answer one question, or each of a list."""
        deadline = time.monotonic() + self.options.timeout
        kind = request.headers.get("content-type", "").partition(";")[0]
        if kind.strip().lower() != "application/json":
            # Other types may be sent by any web page that is open in a browser beside this one.
            raise HTTPException(415, "send the body with the header Content-Type: application/json")
        try:
            body = await read_body(request, self.options.max_body, deadline)
            asked, is_list = self._parse(body)
            weight = sum(map(self._weight, asked))
            future = self.questions.submit(asked, weight, deadline)
            found = [asdict(each) for each in await self._wait(future, request, deadline)]
        except QueueFull as full:
            raise HTTPException(
                503,
                f"{self.options.max_queue} questions wait already; try again in"
                f" {full.retry_after} s",
                {"Retry-After": str(full.retry_after)},
            ) from full
        except Closed as closed:
            raise HTTPException(503, "the server is stopping", {"Retry-After": "1"}) from closed
        except (Expired, asyncio.TimeoutError) as late:
            raise HTTPException(
                504, f"not answered within {self.options.timeout:g} s; try again later"
            ) from late
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        return in_json(found if is_list else found[0])

    def _parse(self, body: bytes) -> tuple[list[Asked], bool]:
        """Return what is asked, and whether as a list; HTTPException if it is nothing to answer."""
        try:
            return parse(body, self.options, self.max_top_k, self.collection is not None)
        except TooLarge as error:
            raise HTTPException(413, str(error)) from error
        except UserError as error:
            raise HTTPException(422, str(error)) from error

    def _weight(self, asked: Asked) -> int:
        """Return how many characters are read for a question, about."""
        if self.collection is None or asked.example.context:
            return len(asked.example.context)
        return self.collection.passages_read * PASSAGE_CHARACTERS

    async def _wait(
        self, future: Future[list[Found]], request: Request, deadline: float
    ) -> list[Found]:
        """Return the result; if the deadline or the client's leaving is first, take it back."""
        result = asyncio.wrap_future(future)
        left = asyncio.ensure_future(request.receive())  # nothing but a disconnect can come
        either: set[asyncio.Future[Any]] = {result, left}
        try:
            seconds = deadline - time.monotonic()
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if result.done():
                return result.result()
            if left.done():
                raise ClientDisconnect
            raise asyncio.TimeoutError
        finally:
            result.cancel()
            left.cancel()

    async def health(self, request: Request) -> Response:
        """Say whether questions are answered, and by which reader."""
        is_broken = self.questions.is_broken
        status = "the reader fails; see the server's stderr" if is_broken else "ready"
        about = {
            "model": self.model,
            "version": qa.__version__,
            "max_top_k": self.max_top_k,
            "passages": self.collection.passages if self.collection else 0,
        }
        return JSONResponse({"status": status, **about}, 503 if is_broken else 200)

    async def metrics(self, request: Request) -> Response:
        """Return what was counted."""
        text = "".join(f"{line}\n" for line in self._metric_lines())
        return Response(text, headers={"content-type": metrics.CONTENT_TYPE})

    def _metric_lines(self) -> Iterator[str]:
        """Yield the lines of `metrics`."""
        queue = self.questions
        yield from self.requests.lines()
        yield from metrics.gauge(
            "qa_queue_length", "Questions that wait for the model.", queue.num_waiting()
        )
        yield from metrics.gauge(
            "qa_queue_limit", "Questions that may wait for the model.", queue.max_queue
        )
        for histogram in (queue.queue_seconds, queue.batch_size, queue.work_seconds):
            yield from histogram.lines()

    async def openapi(self, request: Request) -> Response:
        """Describe this API."""
        return JSONResponse(describe(self.options, self.max_top_k, self.collection is not None))


def make_app(service: Service, hosts: frozenset[str] | None = None) -> ASGIApp:
    """Return the application of a service, as uvicorn and other ASGI servers run it.

    `hosts`: the names under which it may be asked, of `known_hosts`; None for any.
    """
    routes = [
        Route("/answer", service.answer, methods=["POST"]),
        Route("/health", service.health),
        Route("/metrics", service.metrics),
        Route("/openapi.json", service.openapi),
        *(Route(path, page_file(*file), methods=["GET"]) for path, file in PAGE.items()),
    ]
    handlers = {HTTPException: refuse, Exception: fail}
    app = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]
    return Counted(KnownHosts(app, hosts), service.requests, {route.path for route in routes})


def page_file(name: str, kind: str) -> ASGIApp:
    """Return the application that serves a file of the page."""
    content = Path(__file__).with_name(name).read_bytes()
    return Response(content, media_type=kind, headers=PAGE_HEADERS)


def in_json(content: object) -> Response:
    """Return a response whose text is UTF-8 as it is."""
    return Response(json.dumps(content, ensure_ascii=False), media_type="application/json")


async def refuse(request: Request, error: HTTPException) -> Response:
    """Return a failure as a sentence."""
    sentence = error.detail
    if error.status_code in (404, 405):  # Starlette's, whose detail is the name of the status
        sentence = f"there is no {request.method} {request.url.path}; see /openapi.json"
    return JSONResponse({"error": sentence}, error.status_code, error.headers)


async def fail(request: Request, error: Exception) -> Response:
    """Return what nobody expected; the server logs the traceback."""
    return JSONResponse({"error": "the server failed; its stderr says why"}, 500)
