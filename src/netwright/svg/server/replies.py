"""How what a job finds goes out: as one JSON object, or as a line of JSON for each thing found.

A client that goes ends its job. What is wrong before the first line was found is told with its own status; later, as
the last line, {"event": "error", "error": {...}}.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import Response

from netwright.svg.server.bench import Job, StoppedError
from netwright.svg.server.refusal import json_response, refusal_of

LINES = "application/x-ndjson"
Message = MutableMapping[str, Any]


class Reply(Response):
    """The answer of one job. Without `lines` it is the last thing that the job finds, less its `event`."""

    def __init__(self, job: Job, lines: bool) -> None:
        super().__init__()
        self._job, self._lines = job, lines

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Send it, and end the job when its client has gone."""
        gone = asyncio.create_task(self._watch(receive))
        try:
            await (self._streamed if self._lines else self._whole)(scope, receive, send)
        except StoppedError:
            raise ConnectionError("the client has gone") from None
        finally:
            gone.cancel()
            self._job.stop()

    async def _watch(self, receive: Callable[[], Awaitable[Message]]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._job.stop()

    async def _whole(self, scope: Any, receive: Any, send: Any) -> None:
        last = None
        while (item := await self._job.take()) is not None:
            last = item
        assert last is not None, "a job finds something, or fails"
        await json_response({name: value for name, value in last.items() if name != "event"})(scope, receive, send)

    async def _streamed(self, scope: Any, receive: Any, send: Any) -> None:
        item = await self._job.take()
        headers = [(b"content-type", LINES.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            while item is not None:
                await send({"type": "http.response.body", "body": line(item), "more_body": True})
                item = await self._job.take()
        except (StoppedError, ConnectionError):
            raise
        except Exception as fault:
            told = {"event": "error", **refusal_of(fault).body}
            await send({"type": "http.response.body", "body": line(told), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def line(item: Any) -> bytes:
    """One line of JSON."""
    return json.dumps(item, allow_nan=False).encode() + b"\n"
