"""The sockets: connections that may not dawdle, and an end that lets replies come to theirs.

    Listening(made, config, abort).run()          # until SIGTERM or SIGINT

Told to stop, it takes no more connections, lets replies end for `drain_s`, then cancels them; a second signal ends at
once. A connection that sends no whole request line and headers in time is closed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from netwright.chat.history.store import History
from netwright.chat.safety.guard import Guard
from netwright.chat.server.app import app
from netwright.chat.server.settings import Config
from netwright.chat.server.shelf import Shelf
from netwright.core import web

HEADER_S = 10.0
"""Seconds that a request line and headers may take."""
KEEP_S = 15
"""Seconds that a connection is kept without a request."""
HEADERS = 32_768
"""Bytes of a request line and headers."""
GRACE_S = 5.0
"""Seconds that cancelled replies may take to be told so."""


class Listening(uvicorn.Server):
    """A server of the models of a shelf. `told` is given its address once it listens."""

    def __init__(
        self,
        shelf: Shelf,
        config: Config,
        told: Callable[[str], None] = lambda address: None,
        history: History | None = None,
        runs: Path = Path("runs"),
        guard: Guard | None = None,
    ) -> None:
        connections = web.Connections()
        self.made = app(shelf, config, connections.cut, history, runs, guard)
        self._settings, self._told = config, told
        largest = max([config.body, *(key.body for key in config.keys.values())])
        # uvicorn's own configuration of logging closes the handlers of others, absl's with the stream they hold
        super().__init__(uvicorn.Config(
            self.made, host=config.host, port=config.port, http=web.impatient(HEADER_S, connections.add),
            ws="websockets-sansio", ws_max_size=largest, ws_max_queue=4, log_config=None, log_level="critical",
            access_log=False, server_header=False, timeout_keep_alive=KEEP_S,
            h11_max_incomplete_event_size=HEADERS, proxy_headers=False, lifespan="on",
            timeout_graceful_shutdown=int(config.drain_s + GRACE_S) + 1,
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
        """Stop listening, and end when replies have, or when their time is over."""
        timer = asyncio.get_running_loop().call_later(self._settings.drain_s, self.made.state.desk.stop)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()
