"""What the OpenAPI document says of replies: their shapes, and every status that a route may answer with."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field


class Error(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    """Every reply that is no success."""

    error: Error


class Usage(BaseModel):
    """Tokens that a request took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]


class ChatMessage(BaseModel):
    """What the model said."""

    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(BaseModel):
    """One reply to a conversation."""

    index: int
    message: ChatMessage
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length", "content_filter"]


class _Reply(BaseModel):
    id: str
    created: int
    model: str
    system_fingerprint: None
    usage: Usage


class ChatCompletion(_Reply):
    """Replies to a conversation."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class CompletionChoice(BaseModel):
    """One continuation."""

    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length", "content_filter"]


class Completion(_Reply):
    """Continuations of texts."""

    object: Literal["text_completion"]
    choices: list[CompletionChoice]


class Model(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"]
    data: list[Model]


class Health(BaseModel):
    """How the server is."""

    status: Literal["ready", "stopping"]
    models: dict[str, Literal["not loaded", "loading", "ready", "failed"]] = Field(description="by id")


SHAPES: dict[str, type[BaseModel]] = {
    one.__name__: one for one in (ChatCompletion, Completion, Model, ModelList, Health)
}
FAULTS = {
    400: "a wrong type or value, or what this server does not do", 401: "no key, or an unknown one",
    403: "a host or an origin that may not ask", 404: "no such model", 405: "another method is served here",
    408: "the request did not come in time", 413: "the body is too large",
    429: "a limit of the key is reached: see Retry-After", 500: "a fault of the server",
    503: "too many requests, no memory for the model, or the server is stopping",
}  # fmt: skip


def replies(shape: str | None, stream: bool = False, text: bool = False) -> dict[str, Any]:
    """What a route is told of its replies; `shape` None: it succeeds with none, or with plain text."""
    told: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorReply, "description": about} for status, about in FAULTS.items()
    }
    if shape:
        told[200] = {"model": SHAPES[shape], "description": "done"}
        if stream:
            told[200]["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    elif text:
        told[200] = {"description": "done", "content": {"text/plain": {"schema": {"type": "string"}}}}
    if shape == "Health":
        told[503] = {"model": Health, "description": "the server is stopping"}
    return {"responses": told}


def mend(made: FastAPI) -> None:
    """Take out of the document what FastAPI supposes: 422, which is 400 here, and a 200 of routes that have none."""
    original = made.openapi

    def openapi() -> dict[str, Any]:
        if made.openapi_schema is None:
            document = original()
            for path, methods in document["paths"].items():
                for told in methods.values():
                    told["responses"].pop("422", None)
                    if path == "/v1/embeddings":
                        told["responses"].pop("200", None)
                    if path == "/metrics":
                        told["responses"]["200"]["content"].pop("application/json", None)
            for name in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name, None)
            document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for path, methods in document["paths"].items():
                for told in methods.values():
                    told["security"] = [] if path == "/health" else [{}, {"key": []}]
        assert made.openapi_schema is not None
        return made.openapi_schema

    made.openapi = openapi  # type: ignore[method-assign]
