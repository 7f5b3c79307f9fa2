"""The sockets: connections that may not dawdle, and an end that lets replies come to theirs.

    Listening(shelf, config).run()                # until SIGTERM or SIGINT

Told to stop, it takes no more connections, lets replies end for `drain_s`, then cancels them; a second signal ends at
once. A connection that sends no whole request line and headers in time is closed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

from netwright.chat.history.store import History
from netwright.chat.safety.guard import Guard
from netwright.chat.server.app import app
from netwright.chat.server.settings import Config
from netwright.chat.server.shelf import Shelf
from netwright.core import listening, web

GRACE_S = 5.0
"""Seconds that cancelled replies may take to be told so."""


class Listening(listening.Listening):
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
        self._settings = config
        largest = max([config.body, *(key.body for key in config.keys.values())])
        super().__init__(
            self.made, config.host, config.port, told=told, connections=connections, ws="websockets-sansio",
            ws_max_size=largest, ws_max_queue=4, timeout_graceful_shutdown=int(config.drain_s + GRACE_S) + 1,
        )  # fmt: skip

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and end when replies have, or when their time is over."""
        timer = asyncio.get_running_loop().call_later(self._settings.drain_s, self.made.state.desk.stop)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()
