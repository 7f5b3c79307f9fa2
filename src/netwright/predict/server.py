"""Predictions over HTTP, for programs and for a browser on this machine.

    serve(root=Path("runs"), port=8077)

    GET  /                      a page to try it, with the interface in words; as JSON to who accepts that
    GET  /devices               the names of the catalogue
    GET  /predict?model=Qwen3-8B&device=l40s&batch=16      the same as JSON: predictions, refused
    POST /predict               the same, the question as a JSON object
    GET  /advise?model=...&max_latency=0.1&objective=cost

A fault of the asker is answered with 400 and {"error": {"setting", "value", "allowed", "next"}}. A model is a
language model's name or description, or a folder or .onnx file below `root`; nothing else of this machine's
files can be named, and no Python is run. Bodies are small, questions take at most some seconds, and only so many
run at once; the rest is told to come again. This file holds no state.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from netwright.core import recipe
from netwright.core.error import UserError, did_you_mean
from netwright.core.table import extra
from netwright.hardware import catalog
from netwright.predict import advise, estimate, model, scale
from netwright.predict.cost import Terms
from netwright.predict.question import Question

MOST_BODY = 64_000
"""Bytes of a request's body: a described language model takes some hundred."""

SECONDS = 20.0
"""That a question may take, and that a body may take to arrive."""

AT_ONCE = 4
"""Questions worked on together; more are refused with 503."""

MOST_DEVICES = 256

HEADER_SECONDS, CONNECTIONS = 5.0, 64

NUMBERS = ("batch", "sequence", "output", "devices")
TEXTS = ("model", "precision", "parallel", "price", "provider", "objective")
RATES = ("electricity", "years", *advise.LIMITS)
KNOWN = (*NUMBERS, *TEXTS, *RATES, "device", "training", "compiled")


def app(root: Path | None = None) -> Any:
    """The ASGI application. `root` is the folder whose artifacts and ONNX files may be asked for; None allows none."""
    extra("starlette", "serving predictions")
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="predict")
    working: set[asyncio.Future[Any]] = set()

    async def answer(request: Request, work: Callable[[Mapping[str, Any], Path | None], Any]) -> Response:
        try:
            asked = await asyncio.wait_for(_asked(request), SECONDS)
            if len(working) >= AT_ONCE:
                return _said(503, UserError("server", "busy", f"{AT_ONCE} questions at once", "ask again in a second"))
            future = asyncio.get_running_loop().run_in_executor(pool, work, asked, root)
            working.add(future)  # until its thread is free again, which may be after the asker was told 408
            future.add_done_callback(working.discard)
            found = await asyncio.wait_for(asyncio.shield(future), SECONDS)
        except UserError as refusal:
            return _said(413 if refusal.setting == "body" else 400, refusal)
        except TimeoutError:
            return _said(408, UserError("question", "", f"an answer within {SECONDS:g} s", "fewer devices"))
        return JSONResponse(recipe.plain(found))

    def _said(status: int, refusal: UserError) -> JSONResponse:
        about = {"setting": refusal.setting, "value": str(refusal.value)[:200], "allowed": refusal.allowed}
        return JSONResponse({"error": {**about, "next": refusal.next}}, status)

    async def predicted(request: Request) -> Response:
        return await answer(request, predictions)

    async def advised(request: Request) -> Response:
        return await answer(request, advice)

    async def devices(request: Request) -> Response:
        return await answer(request, lambda asked, root: {"devices": [device.name for device in catalog.all()]})

    async def page(request: Request) -> Response:
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse(description())
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers=HEADERS)

    async def missing(request: Request, fault: Exception) -> Response:
        return _said(404, UserError("path", request.url.path, "/, /devices, /predict, /advise", "GET /"))

    async def broken(request: Request, fault: Exception) -> Response:
        return _said(500, UserError("server", type(fault).__name__, "a fault of ours", "report it"))

    routes = [
        Route("/", page),
        Route("/devices", devices),
        Route("/predict", predicted, methods=["GET", "POST"]),
        Route("/advise", advised, methods=["GET", "POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={404: missing, 405: missing, Exception: broken})


def serve(root: Path | None = None, host: str = "127.0.0.1", port: int = 8077) -> None:
    """Serve until interrupted."""
    listener(root, host, port).run()


def listener(root: Path | None, host: str, port: int) -> Any:
    """A server that has not begun. A connection that sends no whole request line and headers in time is closed."""
    extra("uvicorn", "serving predictions")
    from netwright.core.listening import Listening

    return Listening(app(root), host, port, header_s=HEADER_SECONDS, limit_concurrency=CONNECTIONS, log_level="warning")


def description() -> dict[str, Any]:
    """The interface in words, for programs: `GET /` with `Accept: application/json`."""
    asked = dict.fromkeys(NUMBERS, "whole number") | dict.fromkeys(("electricity", "years"), "number")
    asked |= dict.fromkeys(("model", "precision", "parallel", "price", "provider"), "text")
    asked |= dict.fromkeys(("training", "compiled"), "true or false")
    limits = dict.fromkeys(advise.LIMITS, "number")
    predict = {**asked, "device": "text, or several", "needs": ["model", "device"]}
    return {
        "GET or POST /predict": {"takes": predict, "gives": {"model": "", "predictions": [], "refused": []}},
        "GET or POST /advise": {
            "takes": {**asked, **limits, "objective": "cost, energy, latency or throughput", "needs": ["model"]},
            "gives": {"objective": "", "choices": [], "excluded": []},
        },
        "GET /devices": {"gives": {"devices": []}},
        "errors": {"error": {"setting": "", "value": "", "allowed": "", "next": ""}},
    }


PAGE = Path(__file__).with_name("server.html")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


async def _asked(request: Any) -> dict[str, Any]:
    """The question out of the query or the body. Raises UserError."""
    if request.method == "GET":
        listed = request.query_params.multi_items()
        asked: dict[str, Any] = {key: value for key, value in listed if key != "device"}
        if len(asked) + sum(key == "device" for key, _ in listed) < len(listed):
            raise UserError("query", request.url.query[:200], "each name once; only device may be said again", "GET /")
        return {**asked, "device": [value for key, value in listed if key == "device"]}
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY:
            raise UserError("body", f"{len(body)} bytes and more", f"at most {MOST_BODY:,} bytes", "a shorter question")
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise UserError("question", body[:80].decode("utf-8", "replace"), "a JSON object", "GET /") from None
    if not isinstance(values, dict):
        raise UserError("question", type(values).__name__, "a JSON object", "GET /")
    return values


def predictions(asked: Mapping[str, Any], root: Path | None) -> dict[str, Any]:
    """Of each named device; one that cannot be predicted is listed with the reason. Raises UserError."""
    found, question = _model(asked, root), asking(asked)
    named = asked.get("device") or []
    named = [named] if isinstance(named, str) else named
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named) or not named:
        raise UserError("device", named, "a name, or a list of names", "GET /devices")
    if len(named) > MOST_DEVICES:
        raise UserError("device", len(named), f"at most {MOST_DEVICES} names", "ask in parts")
    predicted, refused = [], []
    for name in named:
        device = catalog.find(name)
        try:
            predicted += estimate.predict(found, device, question)
        except UserError as refusal:
            if len(named) == 1 or refusal.setting == "predictor":
                raise
            refused.append({"device": device.name, "why": refusal.allowed, "next": refusal.next})
    return {"model": found.name, "predictions": predicted, "refused": refused}


def advice(asked: Mapping[str, Any], root: Path | None) -> Any:
    """What `advise.rank` says of the whole catalogue. Raises UserError."""
    limits = advise.Limits(**{name: _number(asked, name) for name in advise.LIMITS if name in asked})
    most = _whole(asked, "devices") if "devices" in asked else max(advise.COUNTS)
    question = asking({name: value for name, value in asked.items() if name != "devices"})
    objective = _text(asked, "objective") if "objective" in asked else "cost"
    return advise.plain(advise.rank(_model(asked, root), question, limits, objective, most=most))


def asking(asked: Mapping[str, Any]) -> Question:
    """The question of a query or a JSON object. Raises UserError for names and values that are none."""
    for name in asked:
        if name not in KNOWN:
            raise UserError(name, asked[name], did_you_mean(name, KNOWN), "GET /")
    numbers = {name: _whole(asked, name) for name in NUMBERS if name in asked}
    texts = {name: _text(asked, name) for name in TEXTS if name in asked}
    terms = None
    if asked.keys() & {"price", "provider", "electricity", "years"}:
        given = {name: _number(asked, name) for name in ("electricity", "years") if name in asked}
        terms = Terms(kind=texts.get("price", "on-demand"), provider=texts.get("provider"), **given)  # type: ignore[arg-type]
    return Question(
        split=scale.parse(texts.get("parallel"), numbers.get("devices")),
        precision=texts.get("precision"),
        training=_said_yes(asked, "training"),
        compiled=_said_yes(asked, "compiled"),
        terms=terms,
        batch=numbers.get("batch"),
        sequence=numbers.get("sequence"),
        output=numbers.get("output"),
    )


def _model(asked: Mapping[str, Any], root: Path | None) -> Any:
    """A language model, or what lies below `root`; never a path out of it, never Python."""
    name = _text(asked, "model") if "model" in asked else ""
    if not name:
        raise UserError("model", name, "a language model, or a path below the served folder", "GET /")
    if root is not None and "\0" not in name and "=" not in name:
        base = root.resolve()
        path = (base / name).resolve()  # links are followed first, so that none leads out
        if path.is_relative_to(base) and path != base and (path.is_dir() or path.suffix == ".onnx") and path.exists():
            try:
                return model.at(path)
            except UserError as refusal:  # a stranger need not know where the folder lies
                allowed = refusal.allowed.replace(str(base), "")
                raise UserError(refusal.setting, name, allowed, "GET /") from None
    return model.language_model(name)


def _said_yes(asked: Mapping[str, Any], name: str) -> bool:
    value = asked.get(name, False)
    if value not in (True, False, "true", "false", "1", "0"):
        raise UserError(name, value, "true or false", "GET /")
    return value in (True, "true", "1")


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked[name]
    if not isinstance(value, str) or len(value) > 2000:
        raise UserError(name, value, "a text of at most 2,000 characters", "GET /")
    return value


def _whole(asked: Mapping[str, Any], name: str) -> int:
    value = asked[name]
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(name, value, "a whole number", "GET /")
    return value


def _number(asked: Mapping[str, Any], name: str) -> float:
    value = asked[name]
    try:
        return float(value) if not isinstance(value, bool) else float("nan")
    except (TypeError, ValueError, OverflowError):
        raise UserError(name, value, "a number", "GET /") from None
