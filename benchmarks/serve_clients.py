"""A server in a process of its own, and asynchronous clients of it, for `benchmarks.serve`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

HEAD = "{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
HANGS = 120.0  # seconds without a response after which a request counts as one that hangs


class Reply(NamedTuple):
    """What a client saw."""

    status: int  # 0: the connection ended without a response; -1: it hangs
    content: bytes
    seconds: float

    def sentence(self) -> str:
        """What the server says is wrong; "" if it says nothing."""
        try:
            return str(json.loads(self.content)["error"])
        except (ValueError, KeyError, TypeError):
            return self.content.decode(errors="replace")


@dataclass(frozen=True)
class Server:
    """A running `qa serve`."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        """Return its memory that is in use, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) // 1024


@contextmanager
def running(model: str, *flags: str) -> Iterator[Server]:
    """A server of that model; SIGTERM must end it with 0."""
    command = [sys.executable, "-m", "qa", "serve", model, "--port", "0", *flags]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        print(f"{line.strip()} after {time.perf_counter() - started:.1f} s; {' '.join(flags)}")
        try:
            yield Server(int(line.rsplit(":", 1)[1]), process.pid)
        finally:
            process.terminate()
    print(f"ended with {process.returncode}")
    assert process.returncode == 0


def post(sent: Any, length: int | None = None, kind: str = "application/json") -> bytes:
    """A request to /answer, of JSON, or of bytes as they are; `length`: what it says of itself."""
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    size = len(body) if length is None else length
    head = HEAD.format("POST /answer") + f"Content-Type: {kind}\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


async def send(port: int, content: bytes, is_cut: bool = False) -> Reply:
    """Send a request and return what comes back; `is_cut`: leave without waiting for it."""
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(content)
        await writer.drain()
        if is_cut:
            return Reply(0, b"", 0.0)
        raw = await asyncio.wait_for(reader.read(), HANGS)
    except asyncio.TimeoutError:
        return Reply(-1, b"", time.perf_counter() - started)
    except ConnectionError:
        return Reply(0, b"", time.perf_counter() - started)
    finally:
        writer.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head else 0
    return Reply(status, body, time.perf_counter() - started)
