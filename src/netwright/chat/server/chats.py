"""The page's own routes: conversations that are kept, searched, branched and answered, under /api.

    chats.mount(made, desk, History.open(runs), abort)

A reply is a stream of server-sent events, {"type": "user" | "begin" | "text" | "end" | "error", ...}. It is kept while
it is sent; a client that leaves ends it within a token, and what was streamed stays. Everything else is JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import secrets
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path as Folder
from typing import IO, Annotated, Any, Literal

from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, Response, StreamingResponse

from netwright.chat import sampling
from netwright.chat.history import bundle, formats, nodes, reading
from netwright.chat.history.nodes import About, Conversation, Node
from netwright.chat.history.store import History
from netwright.chat.history.streaming import Streaming
from netwright.chat.sampling import Sampling
from netwright.chat.server import answering, elsewhere
from netwright.chat.server.answering import Account, Answering, Asked, Desk, checked, event
from netwright.chat.server.flow import EndedError, Flow
from netwright.chat.server.gate import HOLDER, NOTE
from netwright.chat.server.monitor import Monitor
from netwright.chat.server.refusal import RefusedError, json_response, refusal_of
from netwright.core import db, web
from netwright.core.error import UserError, did_you_mean
from netwright.core.recipe import plain
from netwright.data.text import Message

Json = dict[str, Any]
Id = Annotated[str, Path(max_length=128)]
IN_MEMORY = 4_000_000
"""Bytes of a file of chats that are kept in memory; more go to disk."""
MOST = 200
"""Conversations, or messages found, in one answer."""
SETTINGS = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p", "max_tokens": "max_tokens",
    "repetition_penalty": "penalty", "frequency_penalty": "frequency", "presence_penalty": "presence", "seed": "seed",
    "stop": "stop",
}  # fmt: skip
"""What the page calls a setting of `sampling.Sampling`: as OpenAI and transformers do."""
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


class Ask(BaseModel):
    """What is to be answered: a new message after `parent`, or `parent` itself where there is no content."""

    parent: str | None = None
    content: str | None = None
    model: str | None = None
    sampling: dict[str, Any] = Field(default_factory=dict, max_length=50)


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
        with refused():
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
        with refused():
            found = history.conversations(limit + 1, after, sound(tag))
        more = after + limit if len(found) > limit else None
        return json_response({"conversations": [_line(one) for one in found[:limit]], "next": more})

    @made.post("/api/conversations", **OWN)
    def begin(body: New) -> Response:
        """Begin one."""
        with refused():
            return json_response(_whole(history, history.new(body.system or "", body.title or "")))

    @made.get("/api/conversations/{id}", **OWN)
    def one(id: Id) -> Response:
        """One, with the messages that lead to where it stands."""
        with refused():
            return json_response(_whole(history, sound(id)))

    @made.patch("/api/conversations/{id}", **OWN)
    def change(id: Id, body: Change) -> Response:
        """Change what is said of one, or which branch it shows."""
        with refused():
            wanted = {nodes.tag(tag) for tag in body.tags or ()}
            if body.title is not None:
                nodes.title(body.title)
                history.rename(sound(id), body.title)
            if body.pinned is not None:
                history.pin(sound(id), body.pinned)
            if body.tags is not None:
                now = set(history.conversation(sound(id)).tags)
                for tag in wanted - now:
                    history.tag(id, tag)
                for tag in now - wanted:
                    history.untag(id, tag)
            if body.system is not None:
                history.tell(sound(id), system=body.system)
            if body.tip is not None:
                history.switch(sound(id), sound(body.tip))
            return json_response(_whole(history, sound(id)))

    @made.delete("/api/conversations/{id}", **OWN)
    def delete(id: Id) -> Response:
        """Delete one, with the messages that no other one reaches."""
        with refused():
            history.delete(sound(id))
        return Response(status_code=204)

    @made.post("/api/conversations/{id}/fork", **OWN)
    def fork(id: Id, body: Fork) -> Response:
        """Begin another that shares the messages up to one."""
        with refused():
            return json_response(_whole(history, history.fork(sound(id), sound(body.message))))


def _messages(made: FastAPI, history: History, desk: Desk, abort: Callable[[MutableMapping[str, Any]], None]) -> None:
    @made.delete("/api/conversations/{id}/messages/{message}", **OWN)
    def delete(id: Id, message: Id) -> Response:
        """Delete a message and all that follows it."""
        with refused():
            history.delete_branch(sound(id), sound(message))
            return json_response(_whole(history, id))

    @made.put("/api/conversations/{id}/messages/{message}/feedback", **OWN)
    def feedback(id: Id, message: Id, body: Feedback) -> Response:
        """Say whether a reply is good."""
        with refused():
            history.rate(sound(id), sound(message), body.thumb, body.note)
        return Response(status_code=204)

    @made.post("/api/conversations/{id}/replies", **OWN)
    async def reply(id: Id, body: Ask, request: Request) -> Response:
        """Answer a message, as server-sent events."""
        scope: Any = request.scope
        with refused():
            asked = await asyncio.to_thread(_asked, history, desk, sound(id), body)
        return Kept(asked, history, desk, scope[NOTE], scope[HOLDER], lambda: abort(scope))


def _all(made: FastAPI, history: History, desk: Desk) -> None:
    @made.get("/api/state", **OWN)
    def state() -> Response:
        """Models, settings and tags."""
        shelf = desk.shelf
        models = [
            {"title": name, **volume.about(), "id": name, "loaded": name in shelf.loaded, "state": shelf.state(name)}
            for name, volume in shelf.volumes.items()
        ]
        settings = _named(plain(_defaults(desk))) | {"seed": None}  # a new one for each reply
        presets = [{"name": one.name, "system": one.system, "sampling": one.sampling} for one in PRESETS]
        with refused():
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
        with refused():
            found = history.search(sound(q), limit)
        listed = [
            {
                "conversation": one.conversation, "title": one.title, "message": one.message, "role": one.role,
                "snippet": [{"text": text, "hit": hit} for text, hit in one.parts], "updated": _time(one.created),
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
        with refused():
            ids = [history.conversation(sound(conversation)).id] if conversation else None
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
        with refused():
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


class Kept(Answering):
    """A reply that goes to the page and into the history."""

    def __init__(self, asked: Question, history: History, desk: Desk, note: Any, holder: Any, abort: Any) -> None:
        super().__init__(asked.asked, True, desk, note, holder, abort)
        self._question, self._history = asked, history

    async def _streamed(self, flow: Flow, form: Any, account: Account, send: Any) -> None:
        told, history = self._question, self._history
        beginning = asyncio.ensure_future(asyncio.to_thread(history.begin, told.conversation, told.about, told.message))
        try:
            with refused():
                streaming = await asyncio.shield(beginning)
        except asyncio.CancelledError:  # the client left meanwhile: what was begun ends, and leaves nothing
            flow.cancel()
            with contextlib.suppress(UserError):
                await asyncio.to_thread((await beginning).mend)
            raise
        finish, took, fault = "cancelled", None, None
        try:
            await send({"type": "http.response.start", "status": 200, "headers": answering.EVENTS})
            first = [{"type": "user", "message": told.user}] if told.user else []
            await self._say(send, *first, {"type": "begin", "message": self._message(streaming, "", "streaming", None)})
            while parts := await flow.take():
                pieces = [checked(piece, account, at) for at, piece in parts]
                text = "".join(piece.text for piece in pieces)
                await asyncio.to_thread(streaming.write, text)
                if text:
                    await self._say(send, {"type": "text", "text": text})
                if pieces[-1].finish is not None:
                    finish, took = pieces[-1].finish, plain(pieces[-1].statistics)
            await self._say(send, *_filtered(flow))
        except (RefusedError, EndedError) as refusal:
            stopping = RefusedError(503, "the server is stopping", "stopping")
            fault = refusal if isinstance(refusal, RefusedError) else stopping
            finish = "interrupted"
        finally:
            flow.cancel()
            kept = await asyncio.shield(asyncio.to_thread(_finished, streaming, finish, took))
        if isinstance(kept, UserError):
            fault = refusal_of(kept)
        if fault is not None:
            self._note.fault = fault.code
            await self._say(send, {"type": "error", **fault.body}, more=False)
            return
        if kept is None:  # it was cut before it said anything: nothing of it is kept
            await self._say(send, {"type": "end", "message": self._message(streaming, "", finish, took)}, more=False)
            return
        told_last = await asyncio.to_thread(self._last, streaming)
        await self._say(send, {"type": "end", "message": told_last}, more=False)

    async def _say(self, send: Callable[..., Awaitable[None]], *events: Json, more: bool = True) -> None:
        await self._written(b"".join(event(one) for one in events), send, more)

    def _message(self, streaming: Streaming, content: str, finish: str, took: Json | None) -> Json:
        told = self._question
        reply = {**_about(told.about), "id": streaming.id, "finish": finish, "statistics": took, "thumb": 0, "note": ""}
        return {
            "id": streaming.id, "parent": told.message, "role": "assistant", "content": content,
            "siblings": [streaming.id], "reply": reply,
        }  # fmt: skip

    def _last(self, streaming: Streaming) -> Json:
        found = _path(self._history, self._question.conversation, streaming.message)
        return found[-1]


def _filtered(flow: Flow) -> list[Json]:
    """What filters did to a reply, each kind once."""
    done = {(one.action, one.finding.kind): one for watch in flow.watches for one in watch.decisions}
    return [
        {"type": "filter", "action": action, "reason": f"{kind} ({one.filter})"}
        for (action, kind), one in done.items()
        if action in ("mask", "block")
    ]


def _finished(streaming: Streaming, finish: str, took: Json | None) -> str | UserError | None:
    try:
        return streaming.finish(finish, took)
    except UserError as fault:  # deleted meanwhile, or the database is away: the text so far is kept as it was
        return fault


@dataclass(frozen=True)
class Question:
    """What a reply answers: the message, as it was kept where it is new, and who is asked how."""

    asked: Asked
    conversation: str
    message: str
    user: Json | None
    about: About


def _asked(history: History, desk: Desk, id: str, body: Ask) -> Question:
    """Keep what was said, and put it to the model. Raises UserError and RefusedError; nothing is kept then."""
    model = desk.shelf.known(body.model)
    told = _sampling(body.sampling, desk)
    of = history.conversation(id)
    if body.content is not None:
        if not body.content.strip():
            raise UserError("content", "empty", "a message with something in it", "write one")
        if desk.guard and desk.guard.asked(body.content, log=False).action == "block":
            raise answering.held(desk.guard, "content")
        message = history.add(id, "user", body.content, after=body.parent and sound(body.parent))
    elif body.parent is None:
        raise UserError("parent", None, "a message to answer", "say something first")
    else:
        message = sound(body.parent)
    all = history.nodes(id)
    if message not in {node.id for node in all}:
        raise UserError("parent", message[:8], "no such message in this conversation", "answer another")
    way = nodes.path(all, message)
    if way[-1].role != "user":
        raise UserError("parent", message[:8], "a message of the person's", "answer one of those")
    told_before = [Message("system", of.system)] if of.system else []
    listed = [*told_before, *(node.message for node in way)]
    volume = desk.shelf.volumes[model]
    facts = volume.about()
    about = About(
        model=model, artifact=facts.get("artifact", ""), template=facts.get("template", ""), system=of.system,
        sampling=plain(told), seed=told.seed, precision=facts.get("precision", ""), engine=facts.get("engine", ""),
        threads=facts.get("threads"),
    )  # fmt: skip
    user = _path(history, id, message)[-1] if body.content is not None else None
    asked = Asked(model, told, 1, lambda tokenizer: None, answering.conversation(model, listed, desk.guard))  # type: ignore[arg-type, return-value]
    return Question(asked, id, message, user, about)


def _defaults(desk: Desk) -> Sampling:
    return Sampling(temperature=0.7, top_p=0.95, penalty=1.05, max_tokens=desk.config.max_tokens)


def _sampling(given: Json, desk: Desk) -> Sampling:
    defaults = plain(_defaults(desk))
    for name in given:
        if name not in SETTINGS:
            raise UserError(f"sampling.{sound(name)}", given[name], did_you_mean(name, SETTINGS), "leave it out")
    said = {SETTINGS[name]: value for name, value in given.items() if value is not None}
    told: Sampling = sampling.from_words({**defaults, "seed": secrets.randbelow(2**31), **said})
    return replace(told, max_tokens=min(told.max_tokens, desk.config.max_tokens))


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Within: what the history does not have is 404, and a database that is away 503."""
    try:
        yield
    except UserError as fault:
        told = refusal_of(fault)
        if fault.allowed.startswith(("no such", "no message")):
            told = RefusedError(404, told.message, "not_found", told.param)
        elif fault.setting in ("database", db.VARIABLE):
            told = RefusedError(503, "the history is away; try again", "history_unavailable")
        raise told from None


def sound(text: str) -> str:
    """A text that a database can be asked for."""
    return nodes.sound(text)


def _line(one: Conversation) -> Json:
    return {
        "id": one.id, "title": one.title, "pinned": one.pinned, "tags": list(one.tags), "system": one.system,
        "tip": one.tip, "updated": _time(one.changed), "messages": one.count,
    }  # fmt: skip


def _whole(history: History, id: str) -> Json:
    one = history.conversation(id)
    return {**_line(one), "messages": _path(history, id, one.tip)}


def _path(history: History, id: str, tip: str | None) -> list[Json]:
    """The messages that lead to a tip, each with its siblings and the newest reply that said it."""
    all = history.nodes(id)
    below = nodes.children(all)
    return [_node(node, [one.id for one in below[node.parent]]) for node in nodes.path(all, tip)]


def _node(node: Node, siblings: list[str]) -> Json:
    last = node.replies[-1] if node.replies else None
    reply = None if last is None else {
        **_about(last), "id": last.id, "finish": last.finish, "statistics": dict(last.statistics) or None,
        "thumb": last.thumb, "note": last.note,
    }  # fmt: skip
    return {
        "id": node.id, "parent": node.parent, "role": node.role, "content": node.content, "siblings": siblings,
        "updated": _time(node.created), "reply": reply,
    }  # fmt: skip


def _about(one: About) -> Json:
    return {
        "model": one.model, "artifact": one.artifact, "precision": one.precision, "engine": one.engine,
        "threads": one.threads, "sampling": _named(one.sampling), "seed": one.seed, "system": one.system,
    }  # fmt: skip


def _named(told: Mapping[str, Any]) -> Json:
    return {name: told[own] for name, own in SETTINGS.items() if own in told}


def _time(seconds: float) -> str:
    try:
        told = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):  # a file that was imported may say anything
        told = datetime.datetime.fromtimestamp(0, datetime.UTC)
    return told.isoformat(timespec="seconds")
