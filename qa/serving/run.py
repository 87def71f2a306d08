"""Running an application at an address until a signal comes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from qa.engine.errors import UserError
from qa.engine.signals import StopSignals

HEAD_SECONDS = 10.0  # within which a request's head must be there
IDLE_SECONDS = 5  # after which a connection without requests is closed
DRAIN_SECONDS = 5.0  # for what is sent after the last answer's deadline
MAX_CONNECTIONS = 800  # below the 1,024 open files that many systems allow


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound but does not listen yet; port 0 takes any free one.

    Raises:
        UserError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small packets at once only where the protocol is named: else 40 ms a response.
    server = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # The port of a server that has just ended is free.
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, port))
    except (OSError, OverflowError) as error:  # OverflowError: no port has this number
        server.close()
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot listen at {host} port {port} ({reason}); pass another --host or --port,"
            " or --port 0 for any free one"
        ) from error
    return server


def address(server: socket.socket) -> str:
    """Return the URL of a bound socket."""
    host, port = server.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Protocol(H11Protocol):
    """uvicorn's, which waits for ever for a request's head, and for responses to be read."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._expect_head()

    def on_response_complete(self) -> None:
        """Begin to wait for another request."""
        super().on_response_complete()
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the waiting."""
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def _expect_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._close_unless_busy)

    def _close_unless_busy(self) -> None:
        is_answered = self.cycle is None or self.cycle.response_complete
        if is_answered and self.transport.get_write_buffer_size() == 0:
            self.transport.close()
            return
        # An answer takes no longer, so what is still unsent then is not read; `close` would wait.
        seconds = self.config.timeout_graceful_shutdown or 0
        self._timer = self.loop.call_later(seconds, self.transport.abort)


class Server(uvicorn.Server):
    """uvicorn's, stopped by qa's signals: it answers what it took, or ends at once at a second one.

    Args:
        app: What to serve.
        timeout: Seconds that an answer may take.
        signals: Entered by whoever runs the server; None if it is stopped by `should_exit` only.
        started: Called when connections are taken.
    """

    def __init__(
        self,
        app: ASGIApp,
        timeout: float,
        signals: StopSignals | None = None,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            log_level="error",  # a client's mistakes are counted, not logged
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=round(timeout + DRAIN_SECONDS),
        )
        super().__init__(config)
        self.signals = signals
        self._tell = started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `StopSignals`: uvicorn would end with the signal, not with 0."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections, and say so."""
        await super().startup(sockets)
        self._tell()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; called ten times a second."""
        is_over = self.signals is not None and self.signals.received is not None
        return is_over or await super().on_tick(counter)
