"""A server of traces, which leaves no tracer behind when it ends.

Listening(config, told=print).run()          # until SIGTERM or SIGINT
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from netwright.core import listening, web
from netwright.svg.belief import Predictor
from netwright.svg.server.app import app
from netwright.svg.server.settings import Config

CONNECTIONS = 64
GRACE_S = 3
"""Seconds that requests may take when the server ends."""


class Listening(listening.Listening):
    """A server of traces. `told` is given its address once it listens."""

    def __init__(
        self, config: Config, told: Callable[[str], None] = lambda address: None, predictor: Predictor | None = None
    ) -> None:
        connections = web.Connections()
        self.made = app(config, predictor, connections.cut)
        super().__init__(
            self.made, config.host, config.port, told=told, header_s=config.header_s, connections=connections,
            ws="none", limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=GRACE_S,
        )  # fmt: skip

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening; jobs end at once."""
        self.made.state.bench.halt()
        await super().shutdown(sockets)
