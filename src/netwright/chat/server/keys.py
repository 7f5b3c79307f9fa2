"""Who asks, and whether they may now: keys, and what is left of a minute's requests and tokens.

    holder = Holders(config).of("Bearer nw-...")      # raises RefusedError 401
    with holder.request():                            # raises RefusedError 429
        holder.spent(tokens)

A limit is a bucket that fills evenly through the minute (token bucket), so that a burst of a whole minute's allowance
is possible once. Tokens are counted when a reply ends: a bucket may go below 0, and then waits longer.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping

from netwright.chat.server.refusal import RefusedError
from netwright.chat.server.settings import Config, Key
from netwright.core import web

Clock = Callable[[], float]


class Bucket:
    """What is left of an allowance that fills evenly; 0 a minute is no limit."""

    def __init__(self, minute: int, clock: Clock) -> None:
        self.minute, self._clock = minute, clock
        self._left, self._seen = float(minute), clock()

    def wait(self, wanted: float = 1.0) -> float:
        """Seconds until so much is there; 0: now."""
        if not self.minute:
            return 0.0
        now = self._clock()
        self._left = min(float(self.minute), self._left + (now - self._seen) * self.minute / 60)
        self._seen = now
        return max(0.0, (wanted - self._left) * 60 / self.minute)

    def take(self, count: float) -> None:
        """Spend some."""
        if self.minute:
            self.wait()
            self._left -= count


class Holder:
    """One key, or everybody where there is none."""

    def __init__(self, name: str, limits: Key | None, body: int, clock: Clock) -> None:
        self.name, self.limits = name, limits
        self.body = limits.body if limits else body
        """Bytes of a request at most."""
        self._requests = Bucket(limits.requests if limits else 0, clock)
        self._tokens = Bucket(limits.tokens if limits else 0, clock)
        self.under_way = 0

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Within: a request of this key is under way. Raises RefusedError where that is one too many."""
        most = self.limits.at_once if self.limits else 0
        if most and self.under_way >= most:
            raise _too_many(f"{most} requests at once", 1.0)
        for bucket, what in ((self._requests, "requests"), (self._tokens, "tokens")):
            if seconds := bucket.wait():
                raise _too_many(f"{bucket.minute:,} {what} a minute", seconds)
        self._requests.take(1)
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    def spent(self, tokens: int) -> None:
        """Tokens that a request took."""
        self._tokens.take(tokens)


class Holders:
    """All keys of a server."""

    def __init__(self, config: Config, clock: Clock = time.monotonic) -> None:
        self._keys: Mapping[str, Key] = config.keys
        self._holders = {name: Holder(name, key, config.body, clock) for name, key in config.keys.items()}
        self.everybody = Holder("", None, config.body, clock)
        self.open = not config.keys
        """Whether no key is needed."""

    def of(self, header: str) -> Holder:
        """Whose an Authorization header is. Raises RefusedError 401."""
        if self.open:
            return self.everybody
        if key := web.bearer(header):
            fitting = [name for name, one in self._keys.items() if web.fits(one.hash, key)]  # asks all of them
            if fitting:
                return self._holders[fitting[-1]]
        advice = "no key was given" if not header else "this key is not known"
        headers = {"WWW-Authenticate": "Bearer"}
        raise RefusedError(401, f"{advice}; send it as: Authorization: Bearer KEY", "invalid_api_key", headers=headers)


def _too_many(what: str, seconds: float) -> RefusedError:
    headers = {"Retry-After": str(max(1, math.ceil(seconds)))}
    return RefusedError(429, f"this key may have {what}", "rate_limit_exceeded", headers=headers)
