"""Several requests at once.

    with Together(session, tokenizer) as batch:               # or InTurn([engine])
        replies = [batch.submit(prompt) for prompt in prompts]
        for piece in replies[0]: ...
        replies[1].cancel()

`Together` reads a token of every reply in one go (continuous batching: Yu et al. 2022, Orca), over a decoder with
pages; weights are read once for all of them. Prompts are read in between, a part at a time, so that replies go on
meanwhile. `InTurn` is for runtimes that read one text: replies one after another, as many at once as engines were
opened. Both serve in the order in which requests came.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from netwright.chat.engine import AT_ONCE, Generator, Prompt, readable
from netwright.chat.lookup import Lookup
from netwright.chat.sampling import GREEDY, Sampling
from netwright.chat.turn import Piece, Turn
from netwright.core.error import UserError
from netwright.data.prompt import Long
from netwright.data.tokenizer import Tokenizer
from netwright.export.decoding import room
from netwright.export.decoding.paged import PagedSession, Text

WAITING = 1024
"""Requests that may wait; one more is refused."""
STREAMS = 64
"""Replies that are read together, at most."""
BESIDE = 64
"""Tokens of prompts that are read in one go beside replies that are under way: more of them makes those wait longer."""
WITHIN = 4
"""In so many steps all prompts that wait are read, however many came at once: else the last waits for all before."""


Take = Callable[[Piece | BaseException], None]
"""Is given each piece as it comes, or the fault that ends a reply, in the thread that answers: it must not wait."""


class Reply:
    """The pieces of a reply as they come; `cancel` ends it within a token. With `take` they are not kept here."""

    def __init__(self, prompt: Prompt, sampling: Sampling, take: Take | None = None) -> None:
        self.prompt, self.sampling, self.begun = prompt, sampling, time.perf_counter()
        self.cancelled = threading.Event()
        self._pieces: queue.SimpleQueue[Piece | BaseException] = queue.SimpleQueue()
        self.put: Take = take or self._pieces.put
        """A piece more, or the fault that ends the reply."""

    def cancel(self) -> None:
        """End the reply; its last piece says "cancelled" if it had not ended by itself."""
        self.cancelled.set()

    def __iter__(self) -> Iterator[Piece]:
        """Pieces until the last one. Raises what the engine raised."""
        while True:
            piece = self._pieces.get()
            if isinstance(piece, BaseException):
                raise piece
            yield piece
            if piece.finish is not None:
                return


class Batch:
    """Requests that wait, and threads that serve them until it is closed."""

    tokenizer: Tokenizer
    longest: int
    precision: str

    def __init__(self, servers: Sequence[Callable[[], None]], waiting: int = WAITING) -> None:
        self._requests: queue.Queue[Reply | None] = queue.Queue(waiting)
        self._closed = False
        self._threads = [threading.Thread(target=serve, name="batch", daemon=True) for serve in servers]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Requests that nobody has taken up yet, about."""
        return self._requests.qsize()

    def submit(self, prompt: Prompt, sampling: Sampling = GREEDY, take: Take | None = None) -> Reply:
        """Put a request into the queue; pieces go to `take` where there is one. Raises UserError where it is full."""
        if self._closed:
            raise RuntimeError("this batch is closed")
        reply = Reply(prompt, sampling, take)
        try:
            self._requests.put_nowait(reply)
        except queue.Full:
            most = f"{self._requests.maxsize} wait at most"
            raise UserError("requests", self._requests.maxsize + 1, most, "try again later") from None
        return reply

    def close(self) -> None:
        """Answer what was submitted, then end."""
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._requests.put(None)
            for thread in self._threads:
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class InTurn(Batch):
    """Each engine answers one request at a time."""

    def __init__(self, engines: Sequence[Generator], waiting: int = WAITING) -> None:
        first = engines[0]
        self.tokenizer, self.longest, self.precision = first.tokenizer, first.longest, first.precision
        super().__init__([lambda one=engine: self._serve(one) for engine in engines], waiting)  # type: ignore[misc]

    def _serve(self, engine: Generator) -> None:
        while (reply := self._requests.get()) is not None:
            try:
                for piece in engine.stream(reply.prompt, reply.sampling, reply.cancelled.is_set):
                    reply.put(piece)
            except BaseException as fault:  # it belongs to who asked
                reply.put(fault)


class _Active:
    """A reply that is read: its turn, and its text in the session."""

    def __init__(self, reply: Reply, turn: Turn, text: Text, pages: int) -> None:
        self.reply, self.turn, self.text, self.pages = reply, turn, text, pages

    @property
    def unread(self) -> list[int]:
        """What is left of the prompt."""
        return [] if self.turn.count else self.turn.seen[len(self.text) :]


class Together(Batch):
    """Up to `streams` replies read in one go. A request is taken up when pages for all of its reply are left."""

    def __init__(
        self,
        session: PagedSession,
        tokenizer: Tokenizer,
        long: Long = "slide",
        streams: int = STREAMS,
        waiting: int = WAITING,
        lookup: bool = True,
    ) -> None:
        self.session, self.tokenizer, self.long, self.streams = session, tokenizer, long, streams
        self.longest, self.precision = session.longest, session.precision
        self._lookup = Lookup if lookup else lambda: None
        self._active: list[_Active] = []
        self._next: Reply | None = None
        super().__init__([self._serve], waiting)

    def _serve(self) -> None:
        while self._admitted() or self._active:
            for one in list(self._active):
                if one.reply.cancelled.is_set():
                    one.turn.finish = "cancelled"
                    self._end(one)
            try:
                self._step()
            except BaseException as fault:  # what was read is not known any more
                for one in list(self._active):
                    one.reply.put(fault)
                    self._leave(one)

    def _admitted(self) -> bool:
        """Take up requests while there is room; wait for one where there is nothing else to do. False at the end."""
        while len(self._active) < self.streams:
            if self._next is None:
                try:
                    self._next = self._requests.get(block=not self._active)
                except queue.Empty:
                    return True
                if self._next is None:
                    self._requests.put(None)  # found again when nothing is left to do
                    return bool(self._active)
            try:
                if not self._began(self._next):
                    return True
            except BaseException as fault:  # it belongs to who asked
                self._next.put(fault)
            self._next = None
        return True

    def _began(self, reply: Reply) -> bool:
        """Whether there was room for it."""
        told = reply.sampling
        if told.beams > 1:
            raise UserError("sampling.beams", told.beams, "1, where several are answered at once", "sampling.beams=1")
        ids, left_out = readable(self.tokenizer, reply.prompt, self.longest, told, self.long)
        room(0, len(ids), self.longest)
        outside = [at for at in ids if not 0 <= at < self.session.vocabulary]
        if outside:
            raise UserError("prompt", outside[0], f"ids from 0 to {self.session.vocabulary - 1}", "another tokenizer")
        size = self.session.book.size
        pages = -(-min(len(ids) + told.max_tokens, self.longest) // size) + 1
        if sum(one.pages for one in self._active) + pages > self.session.book.most:
            return False
        turn = Turn(self.tokenizer, ids, told, self.longest, left_out, self._lookup(), begin=reply.begun)
        text = self.session.begin(ids)
        turn.reused = len(text)
        self._active.append(_Active(reply, turn, text, pages))
        return True

    def _step(self) -> None:
        """Read a token of every reply, and parts of prompts."""
        alone = len(self._active) == 1
        ready = [one for one in self._active if not one.unread]
        plan = [(one, one.turn.wants(guess=alone)) for one in ready]
        waiting = sum(len(one.unread) for one in self._active)
        left = max(BESIDE, waiting // WITHIN) if plan else AT_ONCE
        for one in self._active:
            if left and (ids := one.unread[:left]):
                plan.append((one, ids))
                left -= len(ids)
        if not plan:
            return
        begin = time.perf_counter()
        guesses = alone and bool(ready)
        found = self.session.read([(one.text, ids) for one, ids in plan], all=guesses)
        seconds = time.perf_counter() - begin
        for (one, _), logits in zip(plan, found, strict=True):
            if len(one.text) < len(one.turn.seen):
                continue  # of the prompt there is more to read
            for piece in one.turn.push(logits if guesses else logits[None], seconds):
                if piece is not None:
                    one.reply.put(piece)
                if not one.turn.finish and one.reply.cancelled.is_set():
                    one.turn.finish = "cancelled"
            if one.turn.finish:
                self._end(one)
            else:
                one.text.keep(len(one.turn.seen) - 1)

    def _end(self, one: _Active) -> None:
        one.reply.put(one.turn.last())
        self._leave(one)

    def _leave(self, one: _Active) -> None:
        one.text.end()
        self._active.remove(one)
