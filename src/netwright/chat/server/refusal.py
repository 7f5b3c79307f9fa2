"""What goes wrong, as OpenAI's clients read it: {"error": {"message", "type", "param", "code"}} and a status.

    raise RefusedError(404, "there is no model x", "model_not_found", param="model")
    answer = refusal_of(fault).response()

Messages name no files of this machine, and nothing of what others asked.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from netwright.core import db
from netwright.core.error import UserError
from netwright.export.decoding.pages import FullError

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""Status -> type; else what is below 500 is an invalid request, and the rest the server's fault."""


class RefusedError(Exception):
    """A request that is not answered, and why."""

    def __init__(
        self, status: int, message: str, code: str, param: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's shape."""
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """The answer of a plain request."""
        return json_response(self.body, self.status, self.headers)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON in ASCII: half characters, which JSON may carry, have no UTF-8."""
    return Response(json.dumps(value, allow_nan=False), status, dict(headers or {}), "application/json")


def refusal_of(fault: BaseException, param: str | None = None) -> RefusedError:
    """What a fault is to who asked."""
    if isinstance(fault, RefusedError):
        return fault
    if isinstance(fault, UserError):
        if fault.setting == "requests":
            return busy("more requests are waiting than the server keeps")
        code = "context_length_exceeded" if "room for a reply" in fault.allowed or "reads" in fault.allowed else None
        setting = fault.setting.removeprefix("sampling.")
        named = param or (setting if setting.isidentifier() else None)
        return RefusedError(400, f"{setting}: {fault.allowed}", code or "invalid_value", named)
    if isinstance(fault, FullError):
        return busy("the memory for conversations is used up")
    if isinstance(fault, HTTPException):
        codes = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}
        return RefusedError(fault.status_code, str(fault.detail), codes.get(fault.status_code, "invalid_request"))
    return RefusedError(500, f"a fault of the server ({type(fault).__name__})", "internal_error")


def busy(why: str, seconds: int = 1) -> RefusedError:
    """Come again."""
    return RefusedError(503, f"the server is busy: {why}", "overloaded", headers={"Retry-After": str(seconds)})


@contextlib.contextmanager
def of_history() -> Iterator[None]:
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
