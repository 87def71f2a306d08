"""What `qa serve` adds to a question's time, what batching brings, and a storm of bad requests.

    python -m benchmarks.serve [--model DIR --data FILE] [--parts overhead,batching,storm]

overhead  one question at a time: over HTTP beside `Reader.answer_many` in this process, in turn
batching  16 clients at once: the server as it is beside one that reads one question at a time
storm     200 clients, 10,000 requests, a third of them broken, oversized or cut off; exit code 1 if
          one hangs, is answered later than the deadline, or is refused without a sentence

Without --model a BERT with new weights: of 4 layers of 256 for batching, else of 2 layers of 64.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import statistics
import sys
import time
from pathlib import Path

from benchmarks import material
from benchmarks.serve_clients import Server, post, running, send
from benchmarks.serve_storm import storm
from qa.answering.reader import Reader
from qa.data.formats import read_examples

PARTS = ("overhead", "batching", "storm")
CLIENTS = 16  # of `batching`
WARM = 20  # questions before a measurement


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve")
    material.add_arguments(parser)
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas; all by default")
    parser.add_argument("--questions", type=int, default=200, help="of overhead and a round")
    parser.add_argument("--clients", type=int, default=200, help="of the storm")
    parser.add_argument("--requests", type=int, default=10_000, help="of the storm")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds, of the storm")
    options = parser.parse_args()
    is_well = True
    is_given = options.model is not None
    with material.temporary_folder() as folder:
        material.complete(options, Path(folder))
        examples = read_examples(options.data)
        pairs = [{"question": e.question, "context": e.context} for e in examples]
        flags = ("--device", "cpu", "--precision", "fp32")
        if "batching" in options.parts:
            batching(options.model, pairs[: options.questions], options.repeats, flags)
        if not is_given:
            options.model = options.data = None
            material.complete(options, Path(folder) / "tiny", hidden_size=64, num_layers=2)
        if "overhead" in options.parts:
            overhead(options.model, pairs[: options.questions], flags)
        if "storm" in options.parts:
            with running(options.model, "--timeout", str(options.timeout), *flags) as server:
                is_well = storm(
                    server, pairs[:500], options.clients, options.requests, options.timeout
                )
    return 0 if is_well else 1


def overhead(model: str, pairs: list[dict[str, str]], flags: tuple[str, ...]) -> None:
    """Print the time of one question over HTTP and without it."""
    reader = Reader.from_pretrained(model, device="cpu", precision="fp32")
    with running(model, *flags) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        direct, served = [], []
        cpu = 0.0
        for number, pair in enumerate([*pairs[:WARM], *pairs]):
            if number == WARM:
                cpu = server.cpu_seconds() + time.process_time()
            started, used = time.perf_counter(), time.process_time()
            reader.answer_many([pair])
            direct.append(time.perf_counter() - started)
            cpu += 2 * (time.process_time() - used)  # what the server does is this and the rest
            started = time.perf_counter()
            body = json.dumps(pair)
            connection.request("POST", "/answer", body, {"Content-Type": "application/json"})
            answers = json.loads(connection.getresponse().read())["answers"]
            served.append(time.perf_counter() - started)
            assert answers
        rest = (server.cpu_seconds() + time.process_time() - cpu) / len(pairs)
        connection.close()
    for name, part in (("median", 0.5), ("fastest tenth", 0.1)):
        plain, over_http = (
            1000 * sorted(s[WARM:])[int(part * len(pairs))] for s in (direct, served)
        )
        print(
            f"one question, {name} of {len(pairs)}: answer_many {plain:.2f} ms, over HTTP"
            f" {over_http:.2f} ms: {over_http - plain:+.2f} ms"
        )
    print(f"processor time that the server and its client add to a question: {1000 * rest:.2f} ms")


def batching(model: str, pairs: list[dict[str, str]], repeats: int, flags: tuple[str, ...]) -> None:
    """Print the questions a second of both servers, in turn."""
    rates: dict[str, list[float]] = {"1": [], "16": []}
    with (
        running(model, "--max-batch", "1", *flags) as alone,
        running(model, "--max-batch", "16", *flags) as together,
    ):
        asyncio.run(rate(alone, pairs[:WARM]))
        asyncio.run(rate(together, pairs[:WARM]))
        for _ in range(repeats):
            rates["1"].append(asyncio.run(rate(alone, pairs)))
            rates["16"].append(asyncio.run(rate(together, pairs)))
    ratios = sorted(b / a for a, b in zip(rates["1"], rates["16"], strict=True))
    one, many = (statistics.median(each) for each in rates.values())
    print(
        f"{CLIENTS} clients, {len(pairs)} questions, {repeats} rounds: {one:.1f} questions/s one at"
        f" a time, {many:.1f} in batches: {many / one:.2f} x ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


async def rate(server: Server, pairs: list[dict[str, str]]) -> float:
    """Return the questions a second that the server answers to `CLIENTS` clients."""
    contents = iter([post(pair) for pair in pairs])

    async def client() -> None:
        for content in contents:
            reply = await send(server.port, content)
            assert reply.status == 200, reply

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return len(pairs) / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
