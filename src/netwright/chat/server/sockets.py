"""Conversations over a WebSocket: a request as JSON in, chunks as JSON out, {"type": "cancel"} at any time.

    {"messages": [{"role": "user", "content": "Hi"}]}        ->  chunks as /v1/chat/completions streams them,
                                                                 then {"type": "done"}
    {"type": "cancel"}                                       ->  {"type": "cancelled"} in place of the rest

One request after another, on one connection; a fault is told as {"error": {...}} and the connection goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from netwright.chat.server import answering, wire
from netwright.chat.server.answering import Desk
from netwright.chat.server.flow import EndedError, LeftError
from netwright.chat.server.gate import HOLDER, NOTE, PROTOCOL, Note
from netwright.chat.server.keys import Holder
from netwright.chat.server.refusal import RefusedError, refusal_of

IDLE_S = 600.0
"""Seconds between two requests."""


async def talk(socket: WebSocket, desk: Desk, abort: Callable[[], None]) -> None:
    """Serve one connection until it ends."""
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(PROTOCOL if PROTOCOL in offered else None)
    holder: Holder = socket.scope[HOLDER]
    connection: Note = socket.scope[NOTE]
    line = _Line(socket, desk.config.stall_s)
    inbox: asyncio.Queue[Any] = asyncio.Queue(1)
    reading = asyncio.ensure_future(_read(socket, inbox, holder.body))
    try:
        while True:
            async with asyncio.timeout(IDLE_S):
                message = await inbox.get()
            if isinstance(message, BaseException):
                raise message
            note = replace(connection, status=0, begun=time.perf_counter())
            await _one(message, inbox, line, desk, note, holder)
            connection.model, connection.prompt = note.model, connection.prompt + note.prompt
            connection.tokens += note.tokens
    except (WebSocketDisconnect, TimeoutError, EndedError):
        pass
    except LeftError:
        connection.fault = "client left"
        desk.metrics.cancelled.add(1)
        abort()
    except RefusedError as refusal:  # of a message that is too large: what follows cannot be read
        with contextlib.suppress(Exception):
            await line.send(refusal.body)
    finally:
        reading.cancel()
        if socket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(Exception):
                await socket.close()


async def _one(message: Any, inbox: asyncio.Queue[Any], line: _Line, desk: Desk, note: Note, holder: Holder) -> None:
    """Answer one message. Raises what ends the connection."""
    if message == {"type": "cancel"}:  # nothing is under way: it came after the end of what it meant
        return
    try:
        request = _request(message)
        with holder.request():
            asked = answering.chat(request, desk)
            sending = asyncio.ensure_future(_stream(asked, line, desk, note, holder))
            try:
                ended = await _until_cancelled(sending, inbox, line)
            finally:
                if not sending.done():
                    sending.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await sending
            await line.send({"type": "done" if ended else "cancelled"})
    except EndedError:
        await line.send(RefusedError(503, "the server is stopping", "stopping").body)
        raise
    except (LeftError, WebSocketDisconnect):
        raise
    except Exception as fault:
        await line.send(refusal_of(fault).body)


async def _until_cancelled(sending: asyncio.Future[None], inbox: asyncio.Queue[Any], line: _Line) -> bool:
    """Whether the reply came to its end. Raises its fault, and what ends the connection."""
    while True:
        waiting = asyncio.ensure_future(inbox.get())
        try:
            await asyncio.wait((sending, waiting), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                await sending
                return True
            message = waiting.result()
        finally:
            waiting.cancel()
        if isinstance(message, BaseException):
            raise message
        if message == {"type": "cancel"}:
            return False
        await line.send(RefusedError(409, "a reply is under way; cancel it first", "busy").body)


async def _stream(asked: answering.Asked, line: _Line, desk: Desk, note: Note, holder: Holder) -> None:
    async with answering.begun(asked, desk, note, holder) as (flow, form, account):
        first = True
        while parts := await flow.take():
            for chunk in answering.chunks(parts, form, account, first):
                await line.send(chunk)
            first = False
        if form.usage:
            await line.send(form.last([one for one in account.took if one]))


def _request(message: Any) -> wire.ChatRequest:
    if not isinstance(message, dict):
        raise RefusedError(400, "a message is one JSON object, as text", "invalid_json")
    try:
        return wire.ChatRequest.model_validate(message)
    except ValidationError as fault:
        raise wire.refusal(fault.errors()) from None


class _Line:
    """Sends JSON to a client that may be slow, one message at a time."""

    def __init__(self, socket: WebSocket, seconds: float) -> None:
        self._socket, self._seconds, self._lock = socket, seconds, asyncio.Lock()

    async def send(self, value: Any) -> None:
        """Raises LeftError where the client takes nothing, or has gone."""
        try:
            async with asyncio.timeout(self._seconds), self._lock:
                await self._socket.send_text(json.dumps(value, separators=(",", ":"), allow_nan=False))
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            raise LeftError from None


async def _read(socket: WebSocket, inbox: asyncio.Queue[Any], most: int) -> None:
    """Messages into the inbox, and at last what ended them. One that is no JSON is None."""
    try:
        while True:
            received = await socket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1005))
            text = received.get("text")
            if text is None:
                await inbox.put(None)
                continue
            if len(text) > most:
                raise RefusedError(413, f"a message may have {most:,} bytes", "request_too_large")
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                value = None
            await inbox.put(value)
    except Exception as fault:
        await inbox.put(fault)
