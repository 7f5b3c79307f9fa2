"""The sockets of a server: headers of a bounded size that may not dawdle, and an address that is told.

Listening(app, "127.0.0.1", 8077, told=print).run()          # until SIGTERM or SIGINT
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from netwright.core import web

HEADER_S = 10.0
"""Seconds that a request line and headers may take."""
HEADERS = 32_768
"""Bytes of a request line and headers."""
KEEP_S = 15
"""Seconds that a connection is kept without a request."""


class Listening(uvicorn.Server):
    """A server of an ASGI application, whose `told` is given its address once it listens.

    A connection that sends no whole request line and headers within `header_s` (HEADER_S)
    is closed. `connections` is told of each
    that is made; `settings` are those of uvicorn.
    """

    def __init__(
        self, app: Any, host: str, port: int, *, told: Callable[[str], None] = lambda address: None,
        header_s: float | None = None, connections: web.Connections | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        self._told = told
        usual: dict[str, Any] = {
            "log_config": None,  # uvicorn's own closes the handlers of others, absl's with the stream they hold
            "log_level": "critical", "access_log": False, "server_header": False, "proxy_headers": False,
            "timeout_keep_alive": KEEP_S, "h11_max_incomplete_event_size": HEADERS, "lifespan": "on",
        }  # fmt: skip
        protocol = web.impatient(header_s or HEADER_S, (connections or web.Connections()).add)
        super().__init__(uvicorn.Config(app, host=host, port=port, http=protocol, **usual | settings))

    @property
    def address(self) -> str:
        """Where it listens."""
        return web.address(self)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self.started:
            self._told(self.address)
