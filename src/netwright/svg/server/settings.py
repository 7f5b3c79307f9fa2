"""What a server of traces may do: addresses, the key, sizes, times."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from netwright.core import web
from netwright.core.error import UserError

MOST_AT_ONCE = 4
"""Images traced at once, where nobody says: each takes a core, and up to a gigabyte."""


def cores() -> int:
    """Cores that this process may use, up to MOST_AT_ONCE."""
    return max(1, min(MOST_AT_ONCE, len(os.sched_getaffinity(0))))


@dataclass(frozen=True, kw_only=True)
class Config:
    """Where to listen, and the limits. Raises UserError for what cannot be."""

    host: str = "127.0.0.1"
    port: int = 8078
    key: str = ""
    """sha256:SALT:DIGEST, as `core.web.hashed` makes it; empty: this machine alone is answered, without a key."""
    body: int = 20_000_000
    """Bytes of a request's body."""
    pixels: int = 32_000_000
    """Pixels of an image that is opened."""
    traced: int = 4_000_000
    """Pixels of an image that is traced; a larger one is made smaller first. Measuring takes 200 bytes a pixel."""
    at_once: int = 0
    """Images traced at once; 0: as many as there are cores, up to MOST_AT_ONCE."""
    waiting: int = 8
    """Images that wait for a thread; more are told to come again."""
    seconds: float = 180.0
    """That one request may trace."""
    header_s: float = 10.0
    """Seconds that a request line and headers may take."""
    stall_s: float = 30.0
    """Seconds after which a client that does not send, or does not read, is given up."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UserError("port", self.port, "a whole number from 0 to 65535", "--port 8078")
        web.check_bind("host", self.host, bool(self.key), f"set {web.KEY}, or --key")

    @property
    def threads(self) -> int:
        """Images traced at once."""
        return self.at_once or cores()

    @property
    def limits(self) -> dict[str, Any]:
        """What a client is told beforehand."""
        return {"body": self.body, "pixels": self.pixels, "traced": self.traced, "seconds": self.seconds}
