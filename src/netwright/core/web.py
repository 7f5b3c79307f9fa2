"""What every server on one's own machine needs: keys, its own name, connections that may not dawdle, safe pages.

    web.check_bind("serve.host", host, keyed=bool(keys), next="--key")
    web.fits(kept, web.bearer(headers["authorization"]))
    uvicorn.Config(app, http=web.impatient(10.0), ...)

A web page of a stranger can make a browser ask this machine: so a request must name a host that is ours (against DNS
rebinding), and a page of another origin is refused. Keys are kept as salted hashes. This file knows no routes; it
imports uvicorn only where a server begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import secrets
import weakref
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from netwright.core.error import UserError
from netwright.core.table import extra

KEY = "NETWRIGHT_API_KEY"
"""The environment's name for a key."""
SHORTEST_KEY = 8
"""Characters of a key."""
LINGER_S, LINGER = 2.0, 64_000_000
"""Seconds and bytes that a client which sends too much may go on, so that it reads why it was refused."""


def hashed(key: str, salt: str = "") -> str:
    """A key as it is kept. Raises UserError for one that is too short, or could stand in no header."""
    if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        allowed = f"at least {SHORTEST_KEY} letters, digits and signs, without spaces"
        raise UserError("key", "...", allowed, "netwright serve --new-key")
    salt = salt or secrets.token_hex(8)
    return f"sha256:{salt}:{hashlib.sha256(f'{salt}{key}'.encode()).hexdigest()}"


def fits(kept: str, key: str) -> bool:
    """Whether a key is the one that was kept; the time it takes tells nothing of where they differ."""
    _, salt, digest = kept.split(":")
    given = hashlib.sha256(f"{salt}{key}".encode("utf-8", "replace")).hexdigest()
    return hmac.compare_digest(given, digest)


def new_key() -> str:
    """A key that nobody guesses."""
    return f"nw-{secrets.token_urlsafe(32)}"


def bearer(header: str) -> str:
    """The key of an Authorization header; empty where it has none."""
    kind, _, key = header.partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def check_bind(setting: str, host: str, keyed: bool, next: str) -> None:
    """Refuse, with a UserError, to answer other machines without a key."""
    if not keyed and not is_loopback(host):
        allowed = "without a key only this machine is answered: 127.0.0.1, ::1, localhost"
        raise UserError(setting, host, allowed, next)


def host_name(header: str) -> str:
    """The name in a Host header, without its port; empty where it is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def is_own_origin(origin: str, host: str) -> bool:
    """Whether the page of an Origin header came from the server of a Host header."""
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False


def page_headers(images: str = "'self' data:") -> dict[str, str]:
    """Headers of a page's files: scripts and styles of its own alone, no other host, in nobody's frame."""
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; connect-src 'self'; "
        "font-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }  # fmt: skip


class Connections:
    """Connections by the address of the client, so that one can be cut while its buffers are full."""

    def __init__(self) -> None:
        self._transports: weakref.WeakValueDictionary[Any, Any] = weakref.WeakValueDictionary()

    def add(self, client: Any, transport: Any) -> None:
        """Note one that was made."""
        self._transports[client] = transport

    def cut(self, scope: MutableMapping[str, Any]) -> None:
        """End the connection that a request came over; what was not sent yet is lost."""
        transport = self._transports.get(tuple(scope.get("client") or ()))
        if transport is not None:
            transport.abort()


def impatient(seconds: float, made: Callable[[Any, Any], None] = lambda client, transport: None) -> Any:
    """uvicorn's HTTP protocol, closing a connection that sends no whole request line and headers within seconds.

    uvicorn has no limit on that. `made(client, transport)` is told each connection.
    """
    extra("uvicorn", "serving")
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Impatient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            made(self.client, transport)
            self.loop.call_later(seconds, self._close_unless_asked)

        def _close_unless_asked(self) -> None:
            if self.cycle is None and self.transport.get_protocol() is self:
                self.transport.close()

    return Impatient


async def linger(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
    """Read on what a client sends in vain, for a while: closed at once, it might never read why it was refused."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            count = 0
            while count < LINGER and (message := await receive()).get("more_body"):
                count += len(message.get("body", b""))


def address(server: Any) -> str:
    """Where a uvicorn server that has begun listens."""
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
