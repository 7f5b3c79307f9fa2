"""The routes, as an ASGI application, and the page.

    made = app(Config())

POST /v1/trace      GET /v1/about     GET /health          GET /    the page
POST /v1/front                        GET /openapi.json
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, MutableMapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from netwright import __version__
from netwright.core import web
from netwright.svg import tracer
from netwright.svg.belief import Predictor
from netwright.svg.server import described, work
from netwright.svg.server.bench import Bench
from netwright.svg.server.described import FrontWishes, Wishes
from netwright.svg.server.form import received
from netwright.svg.server.gate import Gate
from netwright.svg.server.refusal import RefusedError, json_response
from netwright.svg.server.replies import Reply
from netwright.svg.server.settings import Config
from netwright.svg.setting import MENU

PAGE = Path(__file__).parents[1] / "page"
FILES = {
    "/": ("index.html", "text/html"), "/svg.css": ("svg.css", "text/css"), "/svg.js": ("svg.js", "text/javascript"),
}  # fmt: skip
KNOWN = "POST /v1/trace, POST /v1/front, GET /v1/about, GET /health, GET /openapi.json"
Form = TypeVar("Form", bound=BaseModel)


def app(
    config: Config,
    predictor: Predictor | None = None,
    cut: Callable[[MutableMapping[str, Any]], None] = lambda scope: None,
) -> FastAPI:
    """The application; `state.bench` is what `listening` stops. `cut` ends the connection of a scope at once."""
    bench = Bench(config.threads, config.waiting, config.seconds)

    @contextlib.asynccontextmanager
    async def life(made: FastAPI) -> AsyncIterator[None]:
        yield
        bench.close()

    made = FastAPI(
        title="netwright svg serve", version=__version__, docs_url=None, redoc_url=None, lifespan=life,
        description="Images to SVG: settings predicted, traced and measured.",
    )  # fmt: skip
    made.state.bench = bench
    made.add_middleware(Gate, config=config, cut=cut)
    _told_faults(made)
    _traces(made, config, bench, predictor)
    _facts(made, config, bench, predictor)
    for place, (name, kind) in FILES.items():

        def file(path: Path = PAGE / name, kind: str = kind) -> Response:
            headers = web.page_headers("'self' blob: data:")
            return FileResponse(path, headers=headers, media_type=f"{kind}; charset=utf-8")

        made.add_api_route(place, lambda file=file: file(), include_in_schema=False)
    described.mend(made)
    return made


def _traces(made: FastAPI, config: Config, bench: Bench, predictor: Predictor | None) -> None:
    @made.post("/v1/trace", **described.replies(described.TraceReply, lines=True), **described.upload(Wishes))
    async def trace(request: Request, query: Annotated[Wishes, Query()]) -> Response:
        """The SVG of an image that fits a wish best, with what was predicted and measured of it."""
        upload = await received(request, config.body, config.stall_s)
        wishes = _with_fields(query, upload.fields)
        job = bench.begin(lambda job: work.trace(job, upload.content, wishes, config, predictor))
        return Reply(job, wishes.stream)

    @made.post("/v1/front", **described.replies(None, lines=True), **described.upload(FrontWishes))
    async def front(request: Request, query: Annotated[FrontWishes, Query()]) -> Response:
        """Traces of an image from the smallest to the most alike, a line of JSON each, as they are made."""
        upload = await received(request, config.body, config.stall_s)
        wishes = _with_fields(query, upload.fields)
        return Reply(bench.begin(lambda job: work.front(job, upload.content, wishes, config, predictor)), lines=True)


def _facts(made: FastAPI, config: Config, bench: Bench, predictor: Predictor | None) -> None:
    @made.get("/v1/about", **described.replies(described.About))
    async def about() -> Response:
        """What is traced with, the presets, and the limits."""
        presets = {name: setting.plain() for name, setting in MENU.items()}
        told = {"tracer": tracer.version(), "predictor": predictor is not None, "presets": presets}
        return json_response({**told, "limits": config.limits})

    @made.get("/health", **described.replies(described.Health))
    async def health() -> Response:
        """Whether images are taken, and how many are under way."""
        status = "stopping" if bench.halted else "ready"
        told = {"status": status, "under_way": bench.under_way, "waiting": bench.waiting}
        return json_response(told, 503 if bench.halted else 200)


def _with_fields(query: Form, fields: Any) -> Form:
    """The wishes of a query and of a form. Raises RefusedError."""
    if not fields:
        return query
    try:
        return type(query).model_validate({**query.model_dump(exclude_unset=True), **fields})
    except ValidationError as fault:
        raise _wrong(fault.errors()) from None


def _wrong(errors: Any) -> RefusedError:
    """What pydantic says of a parameter, in one sentence."""
    first = errors[0]
    name = ".".join(str(part) for part in first["loc"] if part not in ("query", "body"))[:100] or "request"
    unknown = first["type"] == "extra_forbidden"
    told = f"there is no parameter {name}" if unknown else f"{name}: {first['msg']}"
    return RefusedError(400, told, "invalid_value", name, "GET /openapi.json")


def _told_faults(made: FastAPI) -> None:
    """Every fault in one shape. A RefusedError passes all of this, and is told by the gate."""

    @made.exception_handler(RequestValidationError)
    async def invalid(request: Request, fault: RequestValidationError) -> Response:
        return _wrong(fault.errors()).response()

    @made.exception_handler(HTTPException)
    async def refused(request: Request, fault: HTTPException) -> Response:
        codes = {404: "not_found", 405: "method_not_allowed"}
        message = f"nothing is served here; known: {KNOWN}" if fault.status_code == 404 else str(fault.detail)
        told = RefusedError(fault.status_code, message, codes.get(fault.status_code, "invalid_request"))
        told.headers.update(fault.headers or {})
        return told.response()
