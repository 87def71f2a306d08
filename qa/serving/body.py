"""Reading a request's body within bounds of size and time."""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.requests import Request

DRAINED = 8  # times the limit; a client that still sends does not see an answer


async def read_body(request: Request, max_bytes: int, deadline: float) -> bytes:
    """Return the body.

    One that is too large is read to its end all the same, and forgotten: a client that is cut off
    while it sends sees a broken connection instead of the reason.

    Args:
        request: Of which nothing was read.
        max_bytes: Size of the largest body.
        deadline: `time.monotonic()` at which the body must be there.

    Raises:
        HTTPException: 413 if it is larger, 408 if it comes too slowly.
        ClientDisconnect: The client has left.
    """
    try:
        body = await asyncio.wait_for(_read(request, max_bytes), deadline - time.monotonic())
    except asyncio.TimeoutError:
        raise HTTPException(408, "the body did not arrive in time") from None
    if body is None:
        raise HTTPException(413, f"the body is too large; at most {max_bytes:,} bytes are taken")
    return body


async def _read(request: Request, max_bytes: int) -> bytes | None:
    """Return the body; None if it is too large."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= max_bytes:
            chunks.append(chunk)
        elif size > DRAINED * max_bytes:
            break
    return b"".join(chunks) if size <= max_bytes else None
