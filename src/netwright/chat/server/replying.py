"""A reply on the page: what was said is kept and put to the model; the reply is kept while it is streamed.

    question = asked(history, desk, conversation, Ask(content="Hello"))
    response = Kept(question, history, desk, note, holder, abort)

A client that leaves ends the reply within a token, and what was streamed stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, Field

from netwright.chat import sampling
from netwright.chat.history import nodes
from netwright.chat.history.nodes import About
from netwright.chat.history.store import History
from netwright.chat.history.streaming import Streaming
from netwright.chat.sampling import Sampling
from netwright.chat.server import answering, shown
from netwright.chat.server.answering import Account, Answering, Asked, Desk, checked, event
from netwright.chat.server.flow import EndedError, Flow
from netwright.chat.server.refusal import RefusedError, of_history, refusal_of
from netwright.chat.server.shown import Json
from netwright.core.error import UserError, did_you_mean
from netwright.core.recipe import plain
from netwright.data.text import Message


class Ask(BaseModel):
    """What is to be answered: a new message after `parent`, or `parent` itself where there is no content."""

    parent: str | None = None
    content: str | None = None
    model: str | None = None
    sampling: dict[str, Any] = Field(default_factory=dict, max_length=50)


class Kept(Answering):
    """A reply that goes to the page and into the history."""

    def __init__(self, asked: Question, history: History, desk: Desk, note: Any, holder: Any, abort: Any) -> None:
        super().__init__(asked.asked, True, desk, note, holder, abort)
        self._question, self._history = asked, history

    async def _streamed(self, flow: Flow, form: Any, account: Account, send: Any) -> None:
        told, history = self._question, self._history
        beginning = asyncio.ensure_future(asyncio.to_thread(history.begin, told.conversation, told.about, told.message))
        try:
            with of_history():
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
        said = {"id": streaming.id, "finish": finish, "statistics": took, "thumb": 0, "note": ""}
        return {
            "id": streaming.id, "parent": told.message, "role": "assistant", "content": content,
            "siblings": [streaming.id], "reply": {**shown.about(told.about), **said},
        }  # fmt: skip

    def _last(self, streaming: Streaming) -> Json:
        found = shown.path(self._history, self._question.conversation, streaming.message)
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


def asked(history: History, desk: Desk, id: str, body: Ask) -> Question:
    """Keep what was said, and put it to the model. Raises UserError and RefusedError; nothing is kept then."""
    model = desk.shelf.known(body.model)
    told = _sampling(body.sampling, desk)
    of = history.conversation(id)
    if body.content is not None:
        if not body.content.strip():
            raise UserError("content", "empty", "a message with something in it", "write one")
        if desk.guard and desk.guard.asked(body.content, log=False).action == "block":
            raise answering.held(desk.guard, "content")
        message = history.add(id, "user", body.content, after=body.parent and nodes.sound(body.parent))
    elif body.parent is None:
        raise UserError("parent", None, "a message to answer", "say something first")
    else:
        message = nodes.sound(body.parent)
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
    user = shown.path(history, id, message)[-1] if body.content is not None else None
    put = Asked(model, told, 1, lambda tokenizer: None, answering.conversation(model, listed, desk.guard))  # type: ignore[arg-type, return-value]
    return Question(put, id, message, user, about)


def defaults(desk: Desk) -> Sampling:
    """How a reply is drawn where nothing else is said."""
    return Sampling(temperature=0.7, top_p=0.95, penalty=1.05, max_tokens=desk.config.max_tokens)


def _sampling(given: Json, desk: Desk) -> Sampling:
    usual = plain(defaults(desk))
    for name in given:
        if name not in shown.SETTINGS:
            known = did_you_mean(name, shown.SETTINGS)
            raise UserError(f"sampling.{nodes.sound(name)}", given[name], known, "leave it out")
    said = {shown.SETTINGS[name]: value for name, value in given.items() if value is not None}
    told: Sampling = sampling.from_words({**usual, "seed": secrets.randbelow(2**31), **said})
    return replace(told, max_tokens=min(told.max_tokens, desk.config.max_tokens))
