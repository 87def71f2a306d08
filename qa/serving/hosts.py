"""The names under which a server may be asked.

A web site can make a name of its own mean this machine (DNS rebinding); a page of it, open in a
browser here, then asks a server that only this machine should reach as if it were the site's own.
The Host header still has the site's name.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def known_hosts(allowed: str | None, host: str, address: str) -> frozenset[str] | None:
    """Return the names under which a server may be asked; None for any.

    Args:
        allowed: Names between commas, besides those of this machine; "*" for any. None for any,
            too, unless the server listens at this machine only.
        host: Where it was told to listen.
        address: The IP address that this is.
    """
    own = LOCAL | {address, name_of(bracketed(host))}
    if allowed is None:
        return own if ip_address(address).is_loopback else None
    names = [name.strip() for name in allowed.split(",")]
    return None if "*" in names else own | {name_of(bracketed(name)) for name in names}


def bracketed(name: str) -> str:
    """Return a name as it stands in a Host header: an IPv6 address in brackets."""
    return f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name


class KnownHosts:
    """An application around another that refuses requests to other names with 421.

    Args:
        app: The other application.
        hosts: The names; None for any.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, or refuse."""
        if scope["type"] == "http" and self.hosts is not None:
            name = name_of(Headers(scope=scope).get("host", ""))
            if name and name not in self.hosts:
                sentence = f"this server is not called {name}; --allowed-hosts names what it is"
                await JSONResponse({"error": sentence}, 421)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def name_of(host: str) -> str:
    """Return the name in a Host header, in small letters and without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:  # no address between [ and ]
        return host
