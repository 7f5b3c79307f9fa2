"""The sockets: connections that may not dawdle, and an end that leaves no tracer behind.

Listening(config, told=print).run()          # until SIGTERM or SIGINT
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from netwright.core import web
from netwright.svg.belief import Predictor
from netwright.svg.server.app import app
from netwright.svg.server.settings import Config

HEADERS = 32_768
"""Bytes of a request line and headers."""
CONNECTIONS = 64
KEEP_S, GRACE_S = 15, 3
"""Seconds that a connection is kept without a request, and that requests may take when the server ends."""


class Listening(uvicorn.Server):
    """A server of traces. `told` is given its address once it listens."""

    def __init__(
        self, config: Config, told: Callable[[str], None] = lambda address: None, predictor: Predictor | None = None
    ) -> None:
        connections = web.Connections()
        self.made, self._told = app(config, predictor, connections.cut), told
        super().__init__(uvicorn.Config(
            self.made, host=config.host, port=config.port, http=web.impatient(config.header_s, connections.add),
            ws="none", log_config=None, log_level="critical", access_log=False, server_header=False,
            limit_concurrency=CONNECTIONS, timeout_keep_alive=KEEP_S, h11_max_incomplete_event_size=HEADERS,
            proxy_headers=False, lifespan="on", timeout_graceful_shutdown=GRACE_S,
        ))  # fmt: skip

    @property
    def address(self) -> str:
        """Where it listens."""
        return web.address(self)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self.started:
            self._told(self.address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening; jobs end at once."""
        self.made.state.bench.halt()
        await super().shutdown(sockets)
