"""Many clients of a server at once, a third of which make mistakes, for `benchmarks.serve`."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import NamedTuple

from benchmarks.serve_clients import HEAD, Reply, Server, post, send

LATE = 0.5  # seconds beyond the deadline, for the clients, which share the machine


class Request(NamedTuple):
    """What a client sends, and what may come back."""

    kind: str
    content: bytes
    statuses: tuple[int, ...]
    is_cut: bool = False


def mistakes(pair: dict[str, str], too_large: int) -> list[Request]:
    """One request of each kind that must be refused, or that nobody waits for.

    `too_large`: bytes of a body that the server does not take.
    """
    whole = post(pair)
    refused = {
        "no JSON": (post(b'{"question": '), 422),
        "no UTF-8": (post(b'{"question": "\xff"}'), 422),
        "nested": (post(b"[" * 50_000), 422),
        "empty": (post(b""), 422),
        "no context": (post({"question": "?"}), 422),
        "wrong type": (post({**pair, "context": 7}), 422),
        "half a character": (post({**pair, "context": "\ud83d"}), 422),
        "top_k": (post({**pair, "top_k": 10**9}), 422),
        "second of a list": (post([pair, {}]), 422),
        "long list": (post([pair] * 40), 413),
        "long context": (post({**pair, "context": "가 " * 60_000}), 413),
        "oversized": (post(b" " * too_large), 413),
        "other type": (post(pair, kind="text/plain"), 415),
        "other route": ((HEAD.format("GET /nothing") + "\r\n").encode(), 404),
        "other method": ((HEAD.format("GET /answer") + "\r\n").encode(), 405),
        "no HTTP": (b"\x16\x03\x01 nonsense\r\n\r\n", 400),
    }
    cut = {
        "cut in the body": post(pair, len(whole) + 100),
        "cut in the head": whole[:40],
        "cut while it waits": whole,
        "nothing sent": b"",
    }
    return [
        *(Request(kind, content, (code,)) for kind, (content, code) in refused.items()),
        *(Request(kind, content, (), is_cut=True) for kind, content in cut.items()),
    ]


def storm(
    server: Server, pairs: list[dict[str, str]], clients: int, count: int, timeout: float
) -> bool:
    """Send `count` requests, print what came back, and return whether all was as it should be."""
    randomness = random.Random(0)
    wrong = mistakes(pairs[0], 3_000_000)
    requests = [
        randomness.choice(wrong)
        if randomness.random() < 1 / 3
        else Request("question", post(randomness.choice(pairs)), (200, 503, 504))
        for _ in range(count)
    ]
    replies, memory = asyncio.run(send_all(server, requests, clients))
    waited = [
        (request, reply)
        for request, reply in zip(requests, replies, strict=True)
        if not request.is_cut
    ]
    hung = [request.kind for request, reply in waited if reply.status == -1]
    late = [reply.seconds for _, reply in waited if reply.seconds > timeout + LATE]
    unexpected = [(r.kind, reply.status) for r, reply in waited if reply.status not in r.statuses]
    silent = [r.kind for r, reply in waited if reply.status != 200 and not reply.sentence()]
    questions = Counter(reply.status for r, reply in waited if r.kind == "question")
    seconds = sorted(reply.seconds for r, reply in waited if r.kind == "question")
    mistaken = Counter(reply.status for r, reply in waited if r.kind != "question")
    print(
        f"{count} requests of {clients} clients: questions {dict(sorted(questions.items()))}, p50"
        f" {seconds[len(seconds) // 2]:.2f} s, longest {seconds[-1]:.2f} s; mistakes"
        f" {dict(sorted(mistaken.items()))}, left before an answer {count - len(waited)}"
    )
    print(
        f"hung {len(hung)}, later than {timeout:g} s {len(late)}, not as expected"
        f" {len(unexpected)} {Counter(unexpected).most_common(3)}, without a sentence {len(silent)}"
    )
    print(f"resident MiB, ten times on the way: {', '.join(map(str, memory))}")
    return not (hung or late or unexpected or silent)


async def send_all(
    server: Server, requests: list[Request], clients: int
) -> tuple[list[Reply], list[int]]:
    """Return each request's reply, and the server's memory at ten times."""
    replies: list[Reply | None] = [None] * len(requests)
    numbers = iter(range(len(requests)))
    memory: list[int] = []
    pauses = [0.0]

    async def watch() -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.05)
            pauses.append(time.perf_counter() - started - 0.05)

    async def client() -> None:
        for number in numbers:
            request = requests[number]
            replies[number] = await send(server.port, request.content, request.is_cut)
            if (number + 1) % (len(requests) // 10) == 0:
                memory.append(server.resident())

    watching = asyncio.ensure_future(watch())
    await asyncio.gather(*(client() for _ in range(clients)))
    watching.cancel()
    print(f"longest pause of the clients' own process {max(pauses):.2f} s")
    return [reply for reply in replies if reply is not None], memory
