"""How a request becomes replies, and how these reach a client that may be slow, or gone.

    asked = await Asked.of_chat(request, desk, note, holder)       # raises RefusedError
    return Answering(asked, stream=True, stall_s=30)                # an ASGI response

Errors are told with their status as long as nothing was sent, so a stream begins with its first piece. A client that
closes its connection, or takes nothing for `stall_s`, ends its replies within a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.responses import Response

from netwright.chat.engine import readable
from netwright.chat.json_object import vocabulary
from netwright.chat.safety.guard import Guard
from netwright.chat.sampling import Sampling
from netwright.chat.server import wire
from netwright.chat.server.flow import EndedError, Flow, LeftError, Part, Post
from netwright.chat.server.gate import CLOSED, Note
from netwright.chat.server.keys import Holder
from netwright.chat.server.metrics import Metrics
from netwright.chat.server.refusal import RefusedError, json_response, refusal_of
from netwright.chat.server.replies import ChatForm, CompletionForm, Form
from netwright.chat.server.settings import Config
from netwright.chat.server.shelf import Lent, Shelf
from netwright.chat.turn import Piece, Statistics
from netwright.core.error import UserError
from netwright.data import prompt as prompts
from netwright.data.prompt import Long
from netwright.data.text import Message
from netwright.data.tokenizer import Tokenizer

DONE = b"data: [DONE]\n\n"
READERS = 2
"""Prompts that are made into ids at once."""


@dataclass
class Desk:
    """What all requests of a server share."""

    config: Config
    shelf: Shelf
    metrics: Metrics
    guard: Guard | None = None
    stopping: bool = False
    flows: set[Flow] = field(default_factory=set)
    _post: Post | None = None
    readers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(READERS, "prompts"))

    @property
    def post(self) -> Post:
        """What carries pieces into the loop that asks."""
        if self._post is None:
            self._post = Post(asyncio.get_running_loop())
        return self._post

    def stop(self) -> None:
        """End all replies."""
        self.stopping = True
        for flow in list(self.flows):
            flow.cancel(EndedError())


Read = Callable[[Lent, Long, Sampling], list[list[int]]]


@dataclass(frozen=True)
class Asked:
    """A request that can be answered: the model's name, what it continues, and how. `texts` are ids or not yet."""

    model: str
    told: Sampling
    n: int
    form: Callable[[Tokenizer], Form]
    read: Read


def chat(request: wire.ChatRequest, desk: Desk) -> Asked:
    """What a request for a conversation asks. Raises RefusedError and UserError."""
    model, messages = desk.shelf.known(request.model), wire.conversation(request)
    told = wire.sampling(request, desk.config.max_tokens)
    usage = bool(request.stream_options and request.stream_options.include_usage)
    best = (request.top_logprobs or 0) if request.logprobs else None

    n = request.n or 1
    read = conversation(model, messages, desk.guard)
    return Asked(model, told, n, lambda tokenizer: ChatForm(model, tokenizer, best, usage, n), read)


def conversation(model: str, messages: Sequence[Message], guard: Guard | None) -> Read:
    """How a conversation becomes ids, once the model is there; what a guard hides of it, the model never sees."""

    def read(lent: Lent, long: Long, told: Sampling) -> list[list[int]]:
        if not lent.batch.tokenizer.template:
            raise RefusedError(400, f"{model} has no chat template: use /v1/completions", "unsupported_value", "model")
        _check_length([one.content for one in messages], lent, "messages")
        allowed = guard.allowed(messages) if guard else messages
        if allowed is None:
            raise held(guard, "messages")
        return [readable(lent.batch.tokenizer, allowed, lent.batch.longest, told, long)[0]]

    return read


def held(guard: Guard | None, param: str) -> RefusedError:
    """What the guard did not let through."""
    return RefusedError(400, guard.rules.sentence if guard else "", "content_filter", param)


def _let(guard: Guard, given: str | list[int], tokenizer: Tokenizer) -> str | list[int]:
    """A prompt, or what a guard leaves of it; ids may spell anything."""
    size = len(tokenizer.spellings)
    text = given if isinstance(given, str) else tokenizer.decode([at for at in given if 0 <= at < size])
    verdict = guard.asked(text)
    if verdict.action == "block":
        raise held(guard, "prompt")
    return verdict.text if verdict.action == "mask" else given


def completion(request: wire.CompletionRequest, desk: Desk) -> Asked:
    """What a request to go on with texts asks. Raises RefusedError and UserError."""
    model, given = desk.shelf.known(request.model), wire.prompts(request)
    told, guard = wire.sampling(request, desk.config.max_tokens), desk.guard
    usage = bool(request.stream_options and request.stream_options.include_usage)

    def read(lent: Lent, long: Long, told: Sampling) -> list[list[int]]:
        tokenizer, longest = lent.batch.tokenizer, lent.batch.longest
        _check_length([one for one in given if isinstance(one, str)], lent, "prompt")
        found, size = [], len(tokenizer.spellings)
        for one in given:
            if isinstance(one, str) and not one.isascii() and one.encode("utf-8", "ignore").decode() != one:
                raise RefusedError(400, "prompt: it has half characters (surrogates)", "invalid_value", "prompt")
            let = one if guard is None else _let(guard, one, tokenizer)
            ids = prompts.plain(tokenizer, let) if isinstance(let, str) else let
            if outside := [at for at in ids if not 0 <= at < size]:
                raise RefusedError(400, f"prompt: no token has the id {outside[0]}", "invalid_value", "prompt")
            if not 1 <= len(ids) <= longest:
                told_by = f"prompt: {len(ids):,} tokens, and this model reads 1 to {longest:,}"
                raise RefusedError(400, told_by, "context_length_exceeded" if ids else "invalid_value", "prompt")
            found.append(ids)
        return found

    n = request.n or 1
    return Asked(model, told, n, lambda tokenizer: CompletionForm(model, tokenizer, request.logprobs, usage, n), read)


def _check_length(texts: Sequence[str], lent: Lent, param: str) -> None:
    """Refuse at once what no tokenizer could make short enough: its work grows with the text."""
    tokenizer = lent.batch.tokenizer
    most = lent.batch.longest * tokenizer.longest_spelling
    if tokenizer.longest_spelling and max(map(len, texts), default=0) > most:
        why = f"{param}: more text than {lent.batch.longest:,} tokens, which this model reads"
        raise RefusedError(400, why, "context_length_exceeded", param)


class Account:
    """What replies took, told to the note, the key and the metrics."""

    def __init__(self, note: Note, holder: Holder, metrics: Metrics, replies: int, n: int) -> None:
        self._note, self._holder, self._metrics, self._n = note, holder, metrics, n
        self.took: list[Statistics | None] = [None] * replies

    def add(self, at: int, found: Statistics) -> None:
        """A reply has ended."""
        self.took[at] = found
        prompt = found.prompt if at % self._n == 0 else 0
        note, metrics = self._note, self._metrics
        note.prompt, note.tokens = note.prompt + prompt, note.tokens + found.tokens
        note.first_token = note.first_token or found.first_token
        self._holder.spent(prompt + found.tokens)
        metrics.tokens.add(prompt, model=note.model, kind="prompt")
        metrics.tokens.add(found.tokens, model=note.model, kind="reply")
        if found.tokens:
            metrics.first.add(found.first_token)
        if found.per_second > 0:
            metrics.each.add(1 / found.per_second, found.tokens - 1)


@contextlib.asynccontextmanager
async def begun(asked: Asked, desk: Desk, note: Note, holder: Holder) -> AsyncIterator[tuple[Flow, Form, Account]]:
    """Within: replies that are under way; at the end they are cancelled, and what they took is counted.

    Raises RefusedError.
    """
    if desk.stopping:
        raise RefusedError(503, "the server is stopping", "stopping")
    note.model = asked.model
    async with desk.shelf.lent(asked.model) as lent:
        loop = asyncio.get_running_loop()
        try:
            listed = await loop.run_in_executor(desk.readers, asked.read, lent, desk.config.long, asked.told)
            if asked.told.json:  # made once, and here, as it takes longer than many steps of the batch
                await loop.run_in_executor(desk.readers, vocabulary, lent.batch.tokenizer)
        except UserError as fault:
            raise refusal_of(fault, "messages" if fault.setting in ("message", "role", "template") else None) from None
        flow = Flow(desk.post, guard=desk.guard)
        account = Account(note, holder, desk.metrics, len(listed) * asked.n, asked.n)
        desk.flows.add(flow)
        try:
            for ids in listed:
                for at in range(asked.n):
                    told = replace(asked.told, seed=(asked.told.seed + at) % 2**63)
                    try:
                        flow.submit(lent.batch, ids, told)
                    except UserError as fault:
                        raise refusal_of(fault) from None
            yield flow, asked.form(lent.batch.tokenizer), account
        finally:
            flow.cancel()
            desk.flows.discard(flow)
            await _ended(flow)
            for at, piece in flow.rest():
                if isinstance(piece, Piece) and piece.statistics:
                    account.add(at, piece.statistics)


async def _ended(flow: Flow) -> None:
    """Wait until the engine has let go of what was cancelled, so that a model is idle when it is said to be."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            while flow.left:
                await asyncio.sleep(0.01)


class Answering(Response):
    """An ASGI response: a stream of server-sent events, or one JSON object."""

    def __init__(
        self, asked: Asked, stream: bool, desk: Desk, note: Note, holder: Holder, abort: Callable[[], None]
    ) -> None:
        super().__init__()
        self._asked, self._stream, self._desk, self._note, self._holder = asked, stream, desk, note, holder
        self._abort, self._sent = abort, False

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        answering = asyncio.ensure_future(self._answered(scope, receive, send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and not self._sent:
                answering.cancel()
                self._left()
            with contextlib.suppress(asyncio.CancelledError):
                await answering
        except LeftError:
            self._left()
            self._abort()
            await asyncio.sleep(0)
        finally:
            answering.cancel()
            leaving.cancel()

    def _left(self) -> None:
        self._note.status, self._note.fault = CLOSED, "client left"
        self._desk.metrics.cancelled.add(1)

    async def _answered(self, scope: Any, receive: Any, send: Any) -> None:
        async with begun(self._asked, self._desk, self._note, self._holder) as (flow, form, account):
            if self._stream:
                await self._streamed(flow, form, account, send)
                return
            pieces: list[list[Piece]] = [[] for _ in flow.replies]
            try:
                while parts := await flow.take():
                    for at, piece in parts:
                        pieces[at].append(checked(piece, account, at))
            except EndedError:
                raise RefusedError(503, "the server is stopping", "stopping") from None
            self._sent = True
            await self._timely(json_response(form.whole(pieces))(scope, receive, send))

    async def _streamed(self, flow: Flow, form: Form, account: Account, send: Any) -> None:
        started = False
        try:
            while parts := await flow.take():
                events = [event(chunk) for chunk in chunks(parts, form, account, first=not started)]
                if not started:
                    await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
                    started = True
                await self._written(b"".join(events), send)
            tail = [event(form.last([one for one in account.took if one]))] if form.usage else []
            await self._written(b"".join([*tail, DONE]), send, more=False)
        except (RefusedError, EndedError) as fault:
            refusal = (
                fault if isinstance(fault, RefusedError) else RefusedError(503, "the server is stopping", "stopping")
            )
            if not started:
                raise refusal from None
            self._note.fault = refusal.code
            await self._written(event(refusal.body) + DONE, send, more=False)

    async def _written(self, body: bytes, send: Any, more: bool = True) -> None:
        self._sent = not more
        await self._timely(send({"type": "http.response.body", "body": body, "more_body": more}))

    async def _timely(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._desk.config.stall_s):
                await sending
        except TimeoutError:
            raise LeftError from None


EVENTS = [
    (b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]  # fmt: skip


def chunks(parts: Sequence[Part], form: Form, account: Account, first: bool) -> list[dict[str, Any]]:
    """Chunks of a stream. Raises RefusedError for a fault among the parts."""
    made = [head for at in range(len(account.took)) if first and (head := form.begin(at))]
    return [*made, *(form.chunk(at, checked(piece, account, at)) for at, piece in parts)]


def checked(piece: Piece | BaseException, account: Account, at: int) -> Piece:
    """A piece, counted where it is the last. Raises RefusedError for a fault."""
    if isinstance(piece, BaseException):
        raise refusal_of(piece)
    if piece.statistics is not None:
        account.add(at, piece.statistics)
    return piece


def event(value: Any) -> bytes:
    """A server-sent event."""
    return f"data: {json.dumps(value, separators=(',', ':'), allow_nan=False)}\n\n".encode()


async def _gone(receive: Callable[[], Awaitable[Any]]) -> None:
    """Until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
