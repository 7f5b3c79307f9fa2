"""What goes wrong, as a client reads it: {"error": {"message", "code", "setting", "next"}} and a status.

Messages name no files of this machine. What is wrong with a request is below 500, whatever its image made a library do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from netwright.core.error import UserError
from netwright.svg.tracer import TraceError


class RefusedError(Exception):
    """A request that is not answered, and why."""

    def __init__(
        self, status: int, message: str, code: str, setting: str = "", next: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.code, self.setting, self.next = status, message, code, setting, next
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """What is sent."""
        return {"error": {"message": self.message, "code": self.code, "setting": self.setting, "next": self.next}}

    def response(self) -> Response:
        """The whole answer."""
        return json_response(self.body, self.status, self.headers)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON in ASCII."""
    return Response(json.dumps(value, allow_nan=False), status, dict(headers or {}), "application/json")


def refusal_of(fault: BaseException) -> RefusedError:
    """What a fault is to who asked."""
    if isinstance(fault, RefusedError):
        return fault
    if isinstance(fault, UserError):
        setting = fault.setting.removeprefix("--").replace("-", "_")
        subject = "the image" if setting == "image" else f"{setting}:"
        next = "" if fault.next.startswith("netwright ") else fault.next  # what a terminal would be told
        return RefusedError(400, f"{subject} {fault.allowed}", "invalid_value", setting, next)
    if isinstance(fault, TraceError):
        return RefusedError(422, f"{fault}", "not_traced", "image", "make the image smaller, or choose another setting")
    return RefusedError(500, f"a fault of the server ({type(fault).__name__})", "internal_error")


def too_large(most: int) -> RefusedError:
    """A body that is."""
    return RefusedError(
        413, f"the image may have {most / 1e6:g} MB", "too_large", "image", "make it smaller", {"Connection": "close"}
    )


def busy(why: str, seconds: int = 5) -> RefusedError:
    """Come again."""
    return RefusedError(
        503,
        f"the server is busy: {why}",
        "busy",
        next=f"ask again in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )
