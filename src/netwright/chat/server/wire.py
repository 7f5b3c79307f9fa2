"""Requests as OpenAI's clients write them, and what they mean here.

    request = ChatRequest.model_validate_json(body)
    messages, told = conversation(request), sampling(request, default_tokens=1024)

Fields that nobody knows are ignored, as clients send many; a field of a wrong type, and one whose meaning cannot be
met (tools, images, audio), is refused and never passed over in silence.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from netwright.chat.sampling import LONGEST_STOP, STOPS, Sampling
from netwright.chat.server.refusal import RefusedError
from netwright.data.text import Message

MANY = 8
"""Replies to a prompt."""
PROMPTS = 16
"""Prompts of a request for completions."""
_HIGHEST = 2**63 - 1
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
Stop = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_STOP)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class StreamOptions(_Request):
    """What a stream says beside the reply."""

    include_usage: bool = False


class ResponseFormat(_Request):
    """What a reply looks like: text, or one JSON object."""

    type: Literal["text", "json_object"]


class _Sampled(_Request):
    """What both kinds of request have."""

    model: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=MANY)] | None = None
    max_tokens: Count | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=1_000_000)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.1, le=10)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=_HIGHEST)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=STOPS)] | None = None
    response_format: ResponseFormat | None = None
    logit_bias: Annotated[dict[str, Any] | None, Field(description="refused where it is not empty")] = None


class Part(_Request):
    """A part of a message; only text is read."""

    type: str
    text: str | None = None


class Said(_Request):
    """A message."""

    role: str
    content: str | list[Part] | None = None
    tool_calls: list[Any] | None = None


class ChatRequest(_Sampled):
    """A request for the next message of a conversation."""

    messages: Annotated[list[Said], Field(min_length=1, max_length=10_000)]
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[Any] | None, Field(description="refused where it is not empty")] = None
    functions: Annotated[list[Any] | None, Field(description="refused where it is not empty")] = None
    modalities: list[str] | None = None


class CompletionRequest(_Sampled):
    """A request to go on with a text."""

    prompt: str | list[str] | list[int] | list[list[int]]
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: Annotated[int, Field(ge=1, le=MANY)] | None = None


class EmbeddingRequest(_Request):
    """A request for vectors of texts."""

    model: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    input: str | list[str] | list[int] | list[list[int]]


def conversation(request: ChatRequest) -> list[Message]:
    """The messages as texts. Raises RefusedError for what is no text."""
    if request.tools or request.functions:
        raise _not_met("tools", "tools cannot be called here; leave them out")
    if request.modalities not in (None, [], ["text"]):
        raise _not_met("modalities", "replies are text")
    messages = []
    for at, one in enumerate(request.messages):
        where = f"messages[{at}]"
        role = _ROLES.get(one.role)
        if role is None or one.tool_calls:
            allowed = "system, developer, user or assistant"
            about = "tools cannot be called here" if one.tool_calls or one.role in ("tool", "function") else allowed
            raise _not_met(f"{where}.role", about)
        messages.append(Message(role, _text(one, where)))
    return messages


def _text(said: Said, where: str) -> str:
    if said.content is None or isinstance(said.content, str):
        if said.content is None and said.role != "assistant":
            raise _not_met(f"{where}.content", "a text, or a list of texts")
        return said.content or ""
    for at, part in enumerate(said.content):
        if part.type != "text":
            told = "this server reads texts only, no images, audio or files"
            raise _not_met(f"{where}.content[{at}].type", told)
        if part.text is None:
            raise _not_met(f"{where}.content[{at}].text", "a text")
    return "".join(part.text or "" for part in said.content)


def prompts(request: CompletionRequest) -> list[str | list[int]]:
    """The texts, or ids, to go on with. Raises RefusedError for what cannot be met."""
    for name in ("suffix", "echo"):
        if getattr(request, name):
            raise _not_met(name, "not offered here; leave it out")
    if request.best_of not in (None, request.n or 1):
        raise _not_met("best_of", "as many as n; leave it out")
    given: Any = request.prompt
    found: list[str | list[int]] = (
        given if given and isinstance(given, list) and isinstance(given[0], (str, list)) else [given]
    )
    if not found or len(found) > PROMPTS or len(found) * (request.n or 1) > PROMPTS * MANY // 2:
        raise _not_met("prompt", f"1 to {PROMPTS} prompts, and {PROMPTS * MANY // 2} replies in all")
    return found


def sampling(request: ChatRequest | CompletionRequest, default_tokens: int) -> Sampling:
    """How a reply is chosen. The seed is drawn where none is given. Raises RefusedError or UserError."""
    if request.logit_bias:
        raise _not_met("logit_bias", "not offered here; leave it out")
    most, told = request.max_tokens, 0
    if isinstance(request, ChatRequest):
        most = request.max_completion_tokens or most
        if request.top_logprobs is not None and not request.logprobs:
            raise _not_met("top_logprobs", "only with logprobs true")
        told = max(1, request.top_logprobs or 0) if request.logprobs else 0
    elif request.logprobs is not None:
        told = max(1, request.logprobs)
    return Sampling(
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=max(0, request.top_k or 0),
        min_p=request.min_p or 0.0,
        penalty=request.repetition_penalty or 1.0,
        frequency=request.frequency_penalty or 0.0,
        presence=request.presence_penalty or 0.0,
        seed=secrets.randbits(62) if request.seed is None else request.seed & _HIGHEST,
        max_tokens=most or default_tokens,
        stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        logprobs=told,
        json=request.response_format is not None and request.response_format.type == "json_object",
    )


def refusal(errors: Sequence[Any]) -> RefusedError:
    """What pydantic found, as one refusal."""
    first = max(errors, key=lambda one: len(one["loc"]))  # of kinds that were tried, the one that came furthest
    if first["type"] == "json_invalid":
        return RefusedError(400, "the body is no JSON", "invalid_json")
    param = ""
    for part in first["loc"]:
        if isinstance(part, int):
            param += f"[{part}]"
        elif part != "body" and not re.search(r"[^a-z_]", str(part)) and part not in ("str", "int"):
            param += f".{part}" if param else str(part)
    about = first["msg"][:1].lower() + first["msg"][1:]
    return RefusedError(
        400,
        f"{param or 'body'}: {about}",
        "invalid_type" if "type" in first["type"] else "invalid_value",
        param or None,
    )


def _not_met(param: str, why: str) -> RefusedError:
    return RefusedError(400, f"{param}: {why}", "unsupported_value", param)
