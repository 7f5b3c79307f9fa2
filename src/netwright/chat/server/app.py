"""The routes, as an ASGI application that a page can be mounted in.

made = app(shelf, config)
made.mount("/", StaticFiles(...))

POST /v1/chat/completions     GET /v1/models          GET /health
POST /v1/completions          GET /v1/models/ID       GET /metrics
POST /v1/embeddings           WS  /v1/chat/stream     GET /openapi.json
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import psutil
from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from netwright import __version__
from netwright.chat.history.store import History
from netwright.chat.safety.guard import Guard
from netwright.chat.server import answering, chats, described, sockets, wire
from netwright.chat.server.answering import Answering, Desk
from netwright.chat.server.gate import HOLDER, NOTE, Gate, TooLargeError, too_large
from netwright.chat.server.keys import Holders
from netwright.chat.server.metrics import CONTENT, Gauge, Metrics
from netwright.chat.server.monitor import Monitor
from netwright.chat.server.reevaluation import Reevaluation
from netwright.chat.server.refusal import RefusedError, json_response, refusal_of
from netwright.chat.server.settings import Config
from netwright.chat.server.shelf import Shelf
from netwright.core.error import UserError

Abort = Callable[[MutableMapping[str, Any]], None]
"""Cuts the connection of a scope, whatever is still to be sent."""


def app(
    shelf: Shelf, config: Config, abort: Abort = lambda scope: None, history: History | None = None,
    runs: Path = Path("runs"), guard: Guard | None = None,
) -> FastAPI:  # fmt: skip
    """The application. Its `state.desk` is what `listening` stops; with a history it has pages, too."""
    desk = Desk(config, shelf, Metrics(), guard)
    monitor = Monitor(history, desk) if history is not None else None

    @contextlib.asynccontextmanager
    async def life(made: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(monitor.run())] if monitor else []
        if monitor and config.evaluate_hours:
            tasks.append(asyncio.create_task(Reevaluation(monitor, shelf, config, runs).run()))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if monitor:
            await monitor.take()
        desk.stop()
        await shelf.close()
        desk.readers.shutdown(wait=False)

    made = FastAPI(
        title="netwright serve", version=__version__, docs_url=None, redoc_url=None, lifespan=life,
        description="Language models on one's own machine, as OpenAI's clients ask for them.",
    )  # fmt: skip
    made.state.desk = desk
    made.add_middleware(Gate, config=config, holders=Holders(config), metrics=desk.metrics)
    if config.cors:
        made.add_middleware(
            CORSMiddleware, allow_origins=list(config.cors), allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id"], expose_headers=["X-Request-Id"],
        )  # fmt: skip
    _told_faults(made)
    _answers(made, desk, abort)
    _facts(made, desk)
    if history is not None and monitor is not None:
        chats.mount(made, desk, history, monitor, abort)
    described.mend(made)
    return made


def _answers(made: FastAPI, desk: Desk, abort: Abort) -> None:
    def answered(request: Request, asked: answering.Asked, stream: bool | None) -> Response:
        told: dict[str, Any] = request.scope  # type: ignore[assignment]
        return Answering(asked, bool(stream), desk, told[NOTE], told[HOLDER], lambda: abort(told))

    @made.post("/v1/chat/completions", **described.replies("ChatCompletion", stream=True))
    async def chat(body: wire.ChatRequest, request: Request) -> Response:
        """Answer a conversation."""
        return answered(request, answering.chat(body, desk), body.stream)

    @made.post("/v1/completions", **described.replies("Completion", stream=True))
    async def completions(body: wire.CompletionRequest, request: Request) -> Response:
        """Go on with texts."""
        return answered(request, answering.completion(body, desk), body.stream)

    @made.post("/v1/embeddings", **described.replies(None))
    async def embeddings(body: wire.EmbeddingRequest) -> Response:
        """Refused: what answers here tells logits and no hidden states."""
        name = desk.shelf.known(body.model)
        raise RefusedError(400, f"the model {name} gives no embeddings", "no_embeddings", "model")

    @made.websocket("/v1/chat/stream")
    async def stream(socket: WebSocket) -> None:
        """Conversations one after another, as JSON messages."""
        await sockets.talk(socket, desk, lambda: abort(socket.scope))


def _facts(made: FastAPI, desk: Desk) -> None:
    shelf = desk.shelf

    def model(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": shelf.volumes[name].made, "owned_by": "netwright"}

    @made.get("/v1/models", **described.replies("ModelList"))
    async def models() -> Response:
        """All models."""
        return json_response({"object": "list", "data": [model(name) for name in shelf.volumes]})

    @made.get("/v1/models/{name:path}", **described.replies("Model"))
    async def one_model(name: str) -> Response:
        """One model."""
        return json_response(model(shelf.known(name)))

    @made.get("/health", **described.replies("Health"))
    async def health() -> Response:
        """Whether requests are taken, and which models are in memory."""
        states = {name: shelf.state(name) for name in shelf.volumes}
        ready = not desk.stopping
        told = {"status": "ready" if ready else "stopping", "models": states}
        return json_response(told, 200 if ready else 503)

    @made.get("/metrics", **described.replies(None, text=True))
    async def metrics() -> Response:
        """Counts, for Prometheus."""
        return Response(desk.metrics.text(_gauges(desk)), headers={"content-type": CONTENT})


def _gauges(desk: Desk) -> Iterator[Gauge]:
    for name, lent in desk.shelf.loaded.items():
        yield "netwright_queue_depth", "Replies that wait to be taken up.", {"model": name}, lent.batch.waiting
    under_way = sum(flow.left for flow in desk.flows)
    yield "netwright_replies", "Replies that are waiting or under way.", {}, under_way
    yield "netwright_models_loaded", "Models in memory.", {}, len(desk.shelf.loaded)
    yield "process_resident_memory_bytes", "Memory of the process.", {}, psutil.Process().memory_info().rss


def _told_faults(made: FastAPI) -> None:
    """Every fault in OpenAI's shape. A RefusedError passes all of this, and is told by the gate."""

    @made.exception_handler(RequestValidationError)
    async def invalid(request: Request, fault: RequestValidationError) -> Response:
        return wire.refusal(fault.errors()).response()

    @made.exception_handler(HTTPException)
    async def refused(request: Request, fault: HTTPException) -> Response:
        if isinstance(fault, TooLargeError):
            raise too_large(fault)
        if fault.status_code == 404:
            known = "POST /v1/chat/completions, POST /v1/completions, GET /v1/models, GET /health"
            return RefusedError(404, f"nothing is served here; known: {known}", "not_found").response()
        told = refusal_of(fault)
        told.headers.update(fault.headers or {})
        return told.response()

    @made.exception_handler(UserError)
    async def wrong(request: Request, fault: UserError) -> Response:
        return refusal_of(fault).response()
