"""What every request passes before a route sees it: its id, the name it asks for, its key, its limits and its size.

    app.add_middleware(Gate, config=config, holders=Holders(config), metrics=Metrics())

A web page of a stranger can make a browser ask this machine; so a request must name a host that is ours (against DNS
rebinding), and one that a page of another origin sends is refused unless `cors` names it. Bodies are measured while
they come. What is logged of a request is a line of JSON without any text of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException

from netwright.chat.server.keys import Holder, Holders
from netwright.chat.server.metrics import Metrics
from netwright.chat.server.refusal import RefusedError, busy, refusal_of
from netwright.chat.server.settings import Config
from netwright.core import web

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
GUARDED = ("/v1/", "/api/", "/metrics")
"""Paths that need a key where there are keys."""
NOTE, HOLDER = "netwright.note", "netwright.holder"
"""Where a route finds what is noted of a request, and whose it is."""
PROTOCOL, BEARER = "netwright", "bearer."
"""Subprotocols of a WebSocket: a browser can send a key in no other place."""
CLOSED = 499
"""Status of a request whose client has gone, in logs and metrics."""
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LOG = logging.getLogger("netwright.serve")


@dataclass
class Note:
    """What is logged and counted of a request."""

    id: str
    method: str = ""
    route: str = ""
    key: str = ""
    model: str = ""
    status: int = 0
    prompt: int = 0
    tokens: int = 0
    first_token: float = 0.0
    fault: str = ""
    begun: float = field(default_factory=time.perf_counter)


class Gate:
    """An ASGI middleware."""

    def __init__(self, app: Any, config: Config, holders: Holders, metrics: Metrics) -> None:
        self._app, self._config, self._holders, self._metrics = app, config, holders, metrics
        self.under_way = 0
        self._logs = config.log
        if config.log and not _LOG.handlers:
            _LOG.addHandler(logging.StreamHandler(sys.stderr))
            _LOG.setLevel(logging.INFO)
            _LOG.propagate = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        note = Note(given if _ID.fullmatch(given) else uuid.uuid4().hex, scope.get("method", "WS"))
        scope[NOTE] = note
        answer = _Answer(send, note)
        try:
            await self._pass(scope, headers, receive, answer)
        except RefusedError as refusal:
            note.fault = note.fault or refusal.code
            await self._refused(scope, headers, receive, answer, refusal)
        except Exception as fault:
            note.fault = type(fault).__name__
            _LOG.error("request %s", note.id, exc_info=fault)
            if not answer.begun:
                await self._refused(scope, headers, receive, answer, refusal_of(fault))
            else:
                raise
        finally:
            self._noted(scope, note)

    async def _pass(self, scope: Scope, headers: dict[str, str], receive: Receive, answer: _Answer) -> None:
        self._known_host(headers)
        self._known_origin(scope, headers)
        holder = self._holders.everybody
        guarded = scope["path"].startswith(GUARDED)
        if guarded:
            holder = self._holders.of(_authorization(headers))
        scope[HOLDER], scope[NOTE].key = holder, holder.name
        if self.under_way >= self._config.waiting and guarded:
            raise busy(f"{self._config.waiting} requests are under way")
        counted = guarded and scope["type"] == "http"  # of a WebSocket each of its requests is
        with holder.request() if counted else contextlib.nullcontext():
            self.under_way += 1
            try:
                if scope["type"] == "websocket":
                    await self._app(scope, receive, answer)
                    return
                length = headers.get("content-length", "0")
                if not length.isdigit() or int(length) > holder.body:
                    raise _too_large(holder.body)
                await self._app(scope, _Measured(receive, holder, self._config.stall_s), answer)
            finally:
                self.under_way -= 1

    def _known_host(self, headers: dict[str, str]) -> None:
        host = web.host_name(headers.get("host", ""))
        own = web.is_loopback(host) or host in self._config.hosts
        if (self._holders.open or self._config.hosts) and not own:
            raise RefusedError(403, f"this server is not called {host[:100]!r}; see serve.hosts", "unknown_host")

    def _known_origin(self, scope: Scope, headers: dict[str, str]) -> None:
        origin = headers.get("origin")
        if origin is None or (scope["type"] == "http" and scope["method"] in ("GET", "HEAD")):
            return
        if not web.is_own_origin(origin, headers.get("host", "")) and not {origin, "*"} & set(self._config.cors):
            raise RefusedError(403, "pages of this origin may not ask; see serve.cors", "unknown_origin")

    async def _refused(
        self, scope: Scope, headers: dict[str, str], receive: Receive, answer: _Answer, refusal: RefusedError
    ) -> None:
        told = scope.get("extensions") or {}
        if scope["type"] == "websocket" and "websocket.http.response" not in told:
            await answer({"type": "websocket.close", "code": 1008, "reason": refusal.code})
            return
        kind = "http" if scope["type"] == "http" else "websocket.http"
        body = json.dumps(refusal.body).encode()
        more = {"content-type": "application/json", "content-length": str(len(body)), **refusal.headers}
        lingers = kind == "http" and refusal.status == 413 and "expect" not in headers
        listed = [(name.lower().encode(), value.encode()) for name, value in more.items()]
        await answer({"type": f"{kind}.response.start", "status": refusal.status, "headers": listed})
        await answer({"type": f"{kind}.response.body", "body": body, "more_body": lingers})
        if lingers:  # closed at once, the client might never read it
            await web.linger(receive)
            await answer({"type": f"{kind}.response.body", "body": b"", "more_body": False})

    def _noted(self, scope: Scope, note: Note) -> None:
        route = getattr(scope.get("route"), "path", "") or "other"
        self._metrics.requests.add(1, route=route, status=str(note.status))
        if note.fault and note.status == 200:
            self._metrics.faults.add(1, code=note.fault)
        if not self._logs:
            return
        line = {
            "time": round(time.time(), 3), "id": note.id, "key": note.key, "method": note.method, "route": route,
            "model": note.model, "status": note.status, "prompt": note.prompt, "tokens": note.tokens,
            "first_token": round(note.first_token, 4), "seconds": round(time.perf_counter() - note.begun, 4),
        }  # fmt: skip
        _LOG.info("%s", json.dumps(line | ({"fault": note.fault} if note.fault else {})))


class _Answer:
    """Sends with the request's id, and notes the status."""

    def __init__(self, send: Send, note: Note) -> None:
        self._send, self._note = send, note
        self.begun = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
            self.begun = True
            self._note.status = self._note.status or message.get("status", 101)
            headers = [*message.get("headers", []), (b"x-request-id", self._note.id.encode())]
            message = {**message, "headers": headers}
        elif kind == "websocket.close" and not self.begun:
            self._note.status = 403
        await self._send(message)


class _Measured:
    """Receives a body that may be neither too large nor too slow."""

    def __init__(self, receive: Receive, holder: Holder, seconds: float) -> None:
        self._receive, self._holder, self._seconds = receive, holder, seconds
        self._count, self._whole = 0, False

    async def __call__(self) -> MutableMapping[str, Any]:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(self._seconds):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the request did not come in time", {"Connection": "close"}) from None
        self._count += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._count > self._holder.body:
            raise TooLargeError(self._holder.body)
        return message


class TooLargeError(HTTPException):
    """A body that was too large only when it came. An HTTPException, as FastAPI lets no other through."""

    def __init__(self, most: int) -> None:
        super().__init__(413, str(_too_large(most)))
        self.most = most


def _too_large(most: int) -> RefusedError:
    headers = {"Connection": "close"}
    return RefusedError(413, f"the body may have {most:,} bytes", "request_too_large", headers=headers)


def too_large(fault: TooLargeError) -> RefusedError:
    """What the gate says of it."""
    return _too_large(fault.most)


def _authorization(headers: dict[str, str]) -> str:
    given = headers.get("authorization", "")
    if not given:
        protocols = [one.strip() for one in headers.get("sec-websocket-protocol", "").split(",")]
        given = next((f"Bearer {one.removeprefix(BEARER)}" for one in protocols if one.startswith(BEARER)), "")
    return given
