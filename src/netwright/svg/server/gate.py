"""What every request passes before a route sees it: its host, its origin, its key, and how many there are.

    app.add_middleware(Gate, config=config, cut=connections.cut)

A fault that no route told is told here, in the shape of `refusal`. A client that takes nothing for a while is cut off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from netwright.core import web
from netwright.svg.server.refusal import RefusedError, busy, refusal_of
from netwright.svg.server.settings import Config

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
GUARDED = "/v1/"
"""Paths that need the key where there is one."""
BODIES = 4
"""Requests under way beyond those that trace or wait: their bodies are on their way."""
_LOG = logging.getLogger("netwright.svg")


class Gate:
    """An ASGI middleware."""

    def __init__(self, app: Any, config: Config, cut: Callable[[Scope], None]) -> None:
        self._app, self._config, self._cut = app, config, cut
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        begun = False

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            try:
                async with asyncio.timeout(self._config.stall_s):
                    await send(message)
            except TimeoutError:
                self._cut(scope)
                raise ConnectionError("the client reads nothing") from None

        refusal = None
        try:
            await self._pass(scope, headers, receive, answer)
        except ConnectionError:
            return
        except Exception as fault:
            refusal = refusal_of(fault)
            if refusal.status == 500:
                _LOG.error("%s %s", scope["method"], scope["path"], exc_info=fault)
            if begun:
                raise
        if refusal is not None:
            await refusal.response()(scope, receive, answer)
            if refusal.status == 413 and "expect" not in headers:
                await web.linger(receive)

    async def _pass(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._config.key and not web.is_loopback(web.host_name(host)):
            raise RefusedError(403, f"this server is not called {host[:100]!r}", "unknown_host", next="localhost")
        if origin is not None and scope["method"] not in ("GET", "HEAD") and not web.is_own_origin(origin, host):
            raise RefusedError(403, "pages of this origin may not ask", "unknown_origin")
        guarded = scope["path"].startswith(GUARDED)
        if guarded and self._config.key:
            given = headers.get("authorization", "")
            if not web.fits(self._config.key, web.bearer(given)):
                why = "this key is not known" if given else "no key was given"
                raise RefusedError(
                    401, f"{why}; send it as: Authorization: Bearer KEY", "invalid_key", "key",
                    headers={"WWW-Authenticate": "Bearer"},
                )  # fmt: skip
        if not guarded:
            await self._app(scope, receive, send)
            return
        most = self._config.threads + self._config.waiting + BODIES
        if self.under_way >= most:
            raise busy(f"{most} requests are under way")
        self.under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.under_way -= 1
