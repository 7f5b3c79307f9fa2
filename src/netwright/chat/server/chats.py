"""The page's own routes: conversations that are kept, searched, branched and answered, under /api.

    chats.mount(made, desk, History.open(runs), abort)

A reply is a stream of server-sent events, {"type": "user" | "begin" | "text" | "end" | "error", ...}. It is kept while
it is sent; a client that leaves ends it within a token, and what was streamed stays. Everything else is JSON.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path as Folder
from typing import IO, Annotated, Any, Literal

from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, Response, StreamingResponse

from netwright.chat.history import bundle, formats, nodes, reading
from netwright.chat.history.store import History
from netwright.chat.server import elsewhere, replying, shown
from netwright.chat.server.answering import Desk
from netwright.chat.server.gate import HOLDER, NOTE
from netwright.chat.server.monitor import Monitor
from netwright.chat.server.refusal import json_response, of_history
from netwright.core import web
from netwright.core.recipe import plain

Json = dict[str, Any]
Id = Annotated[str, Path(max_length=128)]
IN_MEMORY = 4_000_000
"""Bytes of a file of chats that are kept in memory; more go to disk."""
MOST = 200
"""Conversations, or messages found, in one answer."""
OWN: Json = {"include_in_schema": False}
"""Routes of the page are its own: they change with it."""


class New(BaseModel):
    """A conversation to begin."""

    system: str | None = None
    title: str | None = None


class Change(BaseModel):
    """What is to be different of a conversation; `tip` is a message whose branch is to be shown."""

    title: str | None = None
    pinned: bool | None = None
    tags: list[str] | None = Field(default=None, max_length=100)
    system: str | None = None
    tip: str | None = None


class Fork(BaseModel):
    """Where another conversation leaves this one."""

    message: str


class Feedback(BaseModel):
    """What a person says of a reply."""

    thumb: Literal[-1, 0, 1] = 0
    note: str = ""


def mount(
    made: FastAPI, desk: Desk, history: History, monitor: Monitor, abort: Callable[[MutableMapping[str, Any]], None]
) -> None:
    """Add the routes to a server, and the pages themselves."""
    _pages(made)

    @made.get("/api/monitor", **OWN)
    def monitored(hours: Annotated[float, Query(gt=0, le=24 * 31)] = 24.0) -> Response:
        """What the server did over time."""
        with of_history():
            return json_response(monitor.series(hours))

    _conversations(made, history)
    _messages(made, history, desk, abort)
    _all(made, history, desk)


PAGE = Folder(__file__).parents[1] / "page"
FILES = {
    "/": ("index.html", "text/html"), "/chat.css": ("chat.css", "text/css"), "/chat.js": ("chat.js", "text/javascript"),
    "/monitor": ("monitor.html", "text/html"), "/monitor.css": ("monitor.css", "text/css"),
    "/monitor.js": ("monitor.js", "text/javascript"),
}  # fmt: skip


def _pages(made: FastAPI) -> None:
    headers = web.page_headers()
    for place, (name, kind) in FILES.items():

        def file(path: Folder = PAGE / name, kind: str = kind) -> Response:
            return FileResponse(path, headers=headers, media_type=f"{kind}; charset=utf-8")

        made.add_api_route(place, lambda file=file: file(), **OWN)


def _conversations(made: FastAPI, history: History) -> None:
    @made.get("/api/conversations", **OWN)
    def listed(
        tag: Annotated[str, Query(max_length=200)] = "",
        after: Annotated[int, Query(ge=0, le=2**31)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    ) -> Response:
        """Conversations, pinned ones first, then those that changed last."""
        with of_history():
            found = history.conversations(limit + 1, after, nodes.sound(tag))
        more = after + limit if len(found) > limit else None
        return json_response({"conversations": [shown.line(one) for one in found[:limit]], "next": more})

    @made.post("/api/conversations", **OWN)
    def begin(body: New) -> Response:
        """Begin one."""
        with of_history():
            return json_response(shown.conversation(history, history.new(body.system or "", body.title or "")))

    @made.get("/api/conversations/{id}", **OWN)
    def one(id: Id) -> Response:
        """One, with the messages that lead to where it stands."""
        with of_history():
            return json_response(shown.conversation(history, nodes.sound(id)))

    @made.patch("/api/conversations/{id}", **OWN)
    def change(id: Id, body: Change) -> Response:
        """Change what is said of one, or which branch it shows."""
        with of_history():
            wanted = {nodes.tag(tag) for tag in body.tags or ()}
            if body.title is not None:
                nodes.title(body.title)
                history.rename(nodes.sound(id), body.title)
            if body.pinned is not None:
                history.pin(nodes.sound(id), body.pinned)
            if body.tags is not None:
                now = set(history.conversation(nodes.sound(id)).tags)
                for tag in wanted - now:
                    history.tag(id, tag)
                for tag in now - wanted:
                    history.untag(id, tag)
            if body.system is not None:
                history.tell(nodes.sound(id), system=body.system)
            if body.tip is not None:
                history.switch(nodes.sound(id), nodes.sound(body.tip))
            return json_response(shown.conversation(history, nodes.sound(id)))

    @made.delete("/api/conversations/{id}", **OWN)
    def delete(id: Id) -> Response:
        """Delete one, with the messages that no other one reaches."""
        with of_history():
            history.delete(nodes.sound(id))
        return Response(status_code=204)

    @made.post("/api/conversations/{id}/fork", **OWN)
    def fork(id: Id, body: Fork) -> Response:
        """Begin another that shares the messages up to one."""
        with of_history():
            return json_response(shown.conversation(history, history.fork(nodes.sound(id), nodes.sound(body.message))))


def _messages(made: FastAPI, history: History, desk: Desk, abort: Callable[[MutableMapping[str, Any]], None]) -> None:
    @made.delete("/api/conversations/{id}/messages/{message}", **OWN)
    def delete(id: Id, message: Id) -> Response:
        """Delete a message and all that follows it."""
        with of_history():
            history.delete_branch(nodes.sound(id), nodes.sound(message))
            return json_response(shown.conversation(history, id))

    @made.put("/api/conversations/{id}/messages/{message}/feedback", **OWN)
    def feedback(id: Id, message: Id, body: Feedback) -> Response:
        """Say whether a reply is good."""
        with of_history():
            history.rate(nodes.sound(id), nodes.sound(message), body.thumb, body.note)
        return Response(status_code=204)

    @made.post("/api/conversations/{id}/replies", **OWN)
    async def reply(id: Id, body: replying.Ask, request: Request) -> Response:
        """Answer a message, as server-sent events."""
        scope: Any = request.scope
        with of_history():
            asked = await asyncio.to_thread(replying.asked, history, desk, nodes.sound(id), body)
        return replying.Kept(asked, history, desk, scope[NOTE], scope[HOLDER], lambda: abort(scope))


def _all(made: FastAPI, history: History, desk: Desk) -> None:
    @made.get("/api/state", **OWN)
    def state() -> Response:
        """Models, settings and tags."""
        shelf = desk.shelf
        models = [
            {"title": name, **volume.about(), "id": name, "loaded": name in shelf.loaded, "state": shelf.state(name)}
            for name, volume in shelf.volumes.items()
        ]
        settings = shown.named(plain(replying.defaults(desk))) | {"seed": None}  # a new one for each reply
        presets = [{"name": one.name, "system": one.system, "sampling": one.sampling} for one in PRESETS]
        with of_history():
            tags = list(history.tags())
        return json_response(
            {
                "models": models,
                "default": shelf.default,
                "presets": presets,
                "sampling": settings,
                "tags": tags,
                "filters": {"on": desk.guard is not None},
            }
        )

    @made.get("/api/search", **OWN)
    def search(
        q: Annotated[str, Query(max_length=1000)] = "", limit: Annotated[int, Query(ge=1, le=MOST)] = 20
    ) -> Response:
        """Messages that have all these words, the newest first."""
        with of_history():
            found = history.search(nodes.sound(q), limit)
        listed = [
            {
                "conversation": one.conversation, "title": one.title, "message": one.message, "role": one.role,
                "snippet": [{"text": text, "hit": hit} for text, hit in one.parts], "updated": shown.time(one.created),
            }
            for one in found
        ]  # fmt: skip
        return json_response({"results": listed})

    @made.get("/api/export", **OWN)
    def export(
        format: Annotated[str, Query(max_length=100)] = "json",
        conversation: Annotated[str, Query(max_length=128)] = "",
    ) -> Response:
        """A file of one conversation, or of all."""
        with of_history():
            ids = [history.conversation(nodes.sound(conversation)).id] if conversation else None
            parts = formats.written(history, format, ids)
            headers = {
                "Content-Disposition": f'attachment; filename="chats{formats.FORMATS[format][0]}"',
                "X-Content-Type-Options": "nosniff",
            }
            file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (a slow reader must not hold the database)
            for part in parts:
                file.write(part.encode("utf-8", "replace"))
        file.seek(0)
        return StreamingResponse(_closing(file), headers=headers, media_type="application/octet-stream")

    @made.post("/api/import", **OWN)
    async def bring(request: Request) -> Response:
        """Add the conversations of a file, whose format is recognised."""
        data = await request.body()
        with of_history():
            added = await asyncio.to_thread(lambda: bundle.restore(history, reading.parsed(data)))
        return json_response({"conversations": added.conversations, "messages": added.messages})

    @made.get("/api/predictions", **OWN)
    def predictions(
        model: Annotated[str, Query(max_length=200)],
        prompt: Annotated[int, Query(ge=1, le=1_000_000)] = 256,
        reply: Annotated[int, Query(ge=1, le=1_000_000)] = 256,
    ) -> Response:
        """How fast a model would answer on other hardware, with intervals."""
        folder = desk.shelf.volumes[desk.shelf.known(model)].folder
        return json_response({"devices": elsewhere.predicted(folder, prompt, reply) if folder else []})


def _closing(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while part := file.read(65536):
            yield part


@dataclass(frozen=True)
class Preset:
    """Words that a model is told beforehand, and settings that go with them."""

    name: str
    system: str
    sampling: Json


PRESETS = (
    Preset("Plain", "", {}),
    Preset("Brief", "Answer in one or two sentences.", {"temperature": 0.3}),
    Preset("Teacher", "Explain step by step, with an example, to someone who is new to it.", {"temperature": 0.5}),
    Preset("Programmer", "Answer with working code first, then say in one sentence how it works.",
           {"temperature": 0.2, "repetition_penalty": 1.0}),
    Preset("Writer", "Write vividly, in short paragraphs.", {"temperature": 0.9, "top_p": 0.95}),
)  # fmt: skip
