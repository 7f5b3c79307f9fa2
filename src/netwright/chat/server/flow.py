"""How pieces of replies travel from the threads that make them to the loop that sends them.

    flow = Flow(Post(asyncio.get_running_loop()))
    flow.submit(batch, prompt, sampling)
    while parts := await flow.take(): ...        # [(which reply, piece or fault), ...] since the last time
    flow.cancel()                                # everybody has gone

A thread that makes pieces never waits. The loop is woken once for all pieces that come soon after one another, whoever
they are for: with 64 replies that is once a step and not 64 times. What a client does not take is kept, up to `MOST`
pieces; then its replies are cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from functools import partial

from netwright.chat.batch import Batch, Reply, Take
from netwright.chat.engine import Prompt
from netwright.chat.safety.guard import Guard, Watch
from netwright.chat.sampling import Sampling
from netwright.chat.turn import Piece

MOST = 2048
"""Pieces that wait for a client."""
PAUSE_S = 0.002
"""Seconds after which the loop looks again, once it was woken: the other replies of a step are there then. Waking it
for each of them took a tenth of a step of 15 M parameters."""
Part = tuple[int, Piece | BaseException]
"""Which of the replies, and what came of it."""


class LeftError(Exception):
    """The client has gone, or takes nothing."""


class EndedError(Exception):
    """The server ends, and with it the reply."""


class Post:
    """Carries pieces into a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._box: deque[tuple[Callable[[Part], None], Part]] = deque()
        self._called = False

    def put(self, arrived: Callable[[Part], None], part: Part) -> None:
        """From any thread: `arrived(part)` is called in the loop."""
        self._box.append((arrived, part))
        if not self._called:  # the box is filled before this is asked, and the mark goes before the box is emptied
            self._called = True
            with contextlib.suppress(RuntimeError):  # the loop has ended, and all who waited
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        if not self._box:
            self._called = False
            if not self._box:  # else a piece came between the two, and nobody calls for it
                return
            self._called = True
        while self._box:
            arrived, part = self._box.popleft()
            arrived(part)
        self._loop.call_later(PAUSE_S, self._deliver)


class Flow:
    """Replies that one client waits for."""

    def __init__(self, post: Post, most: int = MOST, guard: Guard | None = None) -> None:
        self._post, self._most, self._guard = post, most, guard
        self.watches: list[Watch] = []
        """What a guard says of each reply."""
        self._parts: deque[Part] = deque()
        self._ready = asyncio.Event()
        self._fault: Exception | None = None
        self.replies: list[Reply] = []
        self.left = 0
        """Replies that have not ended."""

    def submit(self, batch: Batch, prompt: Prompt, sampling: Sampling) -> None:
        """Ask for one more reply. Raises what `Batch.submit` raises."""
        at = len(self.replies)
        if self._guard is None:
            take: Take = lambda piece: self._post.put(self._arrived, (at, piece))  # noqa: E731
        else:
            self.watches.append(Watch(self._guard))
            take = partial(self._watched, at, self.watches[at])
        self.replies.append(batch.submit(prompt, sampling, take))
        self.left += 1

    def _watched(self, at: int, watch: Watch, piece: Piece | BaseException) -> None:
        """In the thread that makes pieces: what of them may be shown."""
        shown: Piece | BaseException | None = piece
        try:
            if isinstance(piece, Piece):
                shown = watch.push(piece)
            if watch.ended or shown is piece:
                watch.close()
        except Exception as fault:  # a filter's: the engine goes on for the others
            shown = fault
        if (watch.blocked or isinstance(shown, Exception)) and len(self.replies) > at:
            self.replies[at].cancel()
        if shown is not None:
            self._post.put(self._arrived, (at, shown))

    def _arrived(self, part: Part) -> None:
        piece = part[1]
        if isinstance(piece, BaseException) or piece.finish is not None:
            self.left -= 1
        elif len(self._parts) >= self._most:
            self.cancel(LeftError())
        if self._fault is None or isinstance(piece, BaseException) or piece.finish is not None:
            self._parts.append(part)
        self._ready.set()

    async def take(self) -> list[Part]:
        """What has come since the last time, at least one part; nothing once all replies have ended.

        Raises what `cancel` was given.
        """
        while not self._parts and self.left and self._fault is None:
            self._ready.clear()
            await self._ready.wait()
        if self._fault is not None:
            raise self._fault
        return self.rest()

    def rest(self) -> list[Part]:
        """What nobody has taken."""
        parts = list(self._parts)
        self._parts.clear()
        return parts

    def cancel(self, fault: Exception | None = None) -> None:
        """End all replies within a token, and whoever waits with `fault`."""
        for reply in self.replies:
            reply.cancel()
        if fault is not None and self._fault is None:
            self._fault = fault
        self._ready.set()
