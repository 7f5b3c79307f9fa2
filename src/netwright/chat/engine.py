"""A language model that answers: text in whole characters, token by token, over any `Decoder`.

    engine = Engine(decoding.open(artifact, threads=2), tokenizer)
    for piece in engine.stream([Message("user", "Hi")], Sampling(max_tokens=100)):
        print(piece.text, end="")
    print(piece.finish, piece.statistics)

What the decoder has read stays read: a conversation that goes on is read from where it differs. One reply at a time;
several at once are `chat.batch`'s. This file knows no HTTP, no terminal and no history.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from netwright.chat import sampling
from netwright.chat.lookup import Lookup
from netwright.chat.sampling import GREEDY, Sampling
from netwright.chat.turn import Piece, Turn
from netwright.core.error import UserError
from netwright.data import prompt
from netwright.data.prompt import Long
from netwright.data.text import Message
from netwright.data.tokenizer import Tokenizer
from netwright.export.decoding import Decoder, room

Prompt = Sequence[int] | Sequence[Message]
"""Ids to be continued, or a conversation to be answered."""
AT_ONCE = 512
"""Tokens of a prompt that are read between two looks at `cancelled`."""
RESERVED = 0.25
"""Share of the longest text that a conversation leaves for the reply, at most."""


class Generator(Protocol):
    """What answers: `Engine` over a decoder, `chat.llamacpp` over llama.cpp."""

    tokenizer: Tokenizer
    longest: int
    precision: str

    def stream(self, prompt: Prompt, sampling: Sampling = ..., cancelled: Callable[[], bool] = ...) -> Iterator[Piece]:
        """The reply, piece by piece; the last piece alone has `finish`. Raises UserError for what cannot be read."""
        ...


class Engine:
    """A `Generator` over a `Decoder`. `long` says what becomes of conversations that are too long."""

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        long: Long = "slide",
        lookup: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.decoder, self.tokenizer, self.long = decoder, tokenizer, long
        self.longest, self.precision = decoder.longest, decoder.precision
        self._lookup = Lookup() if lookup else None
        self._clock, self._busy = clock, threading.Lock()
        self._read: list[int] = []

    def stream(
        self, prompt: Prompt, sampling: Sampling = GREEDY, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Piece]:
        """The reply, piece by piece. Raises UserError for an empty prompt, or one that is too long, before any work.

        `cancelled` is asked before every token. A second stream while one is open is a RuntimeError.
        """
        begin = self._clock()
        ids, left_out = readable(self.tokenizer, prompt, self.longest, sampling, self.long)
        room(0, len(ids), self.longest)
        outside = [at for at in ids if not 0 <= at < self.decoder.vocabulary]
        if outside:
            raise UserError("prompt", outside[0], f"ids from 0 to {self.decoder.vocabulary - 1}", "another tokenizer")
        return self._replies(ids, left_out, sampling, cancelled, begin)

    def forget(self) -> None:
        """Forget what was read, so that the next prompt is read from its beginning."""
        self.decoder.keep(0)
        self._read = []

    def _replies(
        self, ids: list[int], left_out: int, told: Sampling, cancelled: Callable[[], bool], begin: float
    ) -> Iterator[Piece]:
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this engine is answering; several requests at once are for netwright.chat.batch")
        try:
            lookup = self._lookup if told.beams == 1 else None
            turn = Turn(self.tokenizer, ids, told, self.longest, left_out, lookup, self._clock, begin)
            turn.reused = min(common(self._read, ids), len(ids) - 1)
            yield from self._beams(turn, told, cancelled) if told.beams > 1 else self._tokens(turn, cancelled)
            yield turn.last()
        except (Exception, KeyboardInterrupt):  # what the decoder has read is not known any more
            self._read = []
            with contextlib.suppress(Exception):
                self.decoder.keep(0)
            raise
        finally:
            self._busy.release()

    def _tokens(self, turn: Turn, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        logits_V = self._prompt(turn.seen, cancelled)
        if logits_V is None:
            turn.finish = "cancelled"
            return
        logits_TV, seconds = logits_V[None], 0.0
        while True:
            for piece in turn.push(logits_TV, seconds):
                if piece is not None:
                    yield piece
                if not turn.finish and cancelled():
                    turn.finish = "cancelled"
            self._keep(common(self._read, turn.seen) if turn.finish else len(turn.seen) - 1)  # no wrong guesses
            if turn.finish:
                return
            begin, ids = self._clock(), turn.wants()
            logits_TV = self._feed(ids, all=True)
            seconds = self._clock() - begin

    def _prompt(self, ids: Sequence[int], cancelled: Callable[[], bool]) -> NDArray[np.float32] | None:
        """Logits after a prompt, of which only what is new is read; None where it was cancelled."""
        self._keep(min(common(self._read, ids), len(ids) - 1))
        logits_V = None
        for at in range(len(self._read), len(ids), AT_ONCE):
            if cancelled():
                return None
            logits_V = self._feed(ids[at : at + AT_ONCE])
        return logits_V

    def _beams(self, turn: Turn, told: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        ids = list(turn.seen)
        most = min(told.max_tokens, self.longest - len(ids) + 1)
        logits: dict[tuple[int, ...], NDArray[np.float32]] = {}

        def after(more: Sequence[int]) -> NDArray[np.float32]:
            found = self._prompt([*ids, *more], lambda: False)
            assert found is not None
            logits[tuple(more)] = found
            return found

        ends = () if told.ignore_end else self.tokenizer.stop
        found, _ = sampling.beam_search(after, told.beams, most, ends, cancelled)
        for count, at in enumerate(found):
            if at in ends:
                turn.finish = "stop"
            if turn.finish == "stop":
                return
            piece = turn.take(at, logits[tuple(found[:count])])
            if piece is not None:
                yield piece
        turn.finish = "cancelled" if cancelled() else turn.finish or "length"

    def _feed(self, ids: Sequence[int], all: bool = False) -> NDArray[np.float32]:
        logits = self.decoder.feed(ids, all)
        self._read.extend(ids)
        return logits

    def _keep(self, count: int) -> None:
        if count < len(self.decoder):  # guesses of a reply that was left half-way stand there, too
            self.decoder.keep(count)
        del self._read[count:]


def readable(
    tokenizer: Tokenizer, given: Prompt, longest: int, told: Sampling, long: Long = "slide"
) -> tuple[list[int], int]:
    """Ids of a prompt that leaves room for a reply, and how many messages were left out. Raises UserError."""
    if len(given) and isinstance(given[0], Message):
        most = longest - min(told.max_tokens, int(RESERVED * longest))
        return prompt.fitted(tokenizer, cast(Sequence[Message], given), most, long)
    return [int(at) for at in cast(Sequence[int], given)], 0


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids both begin with."""
    for at, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return at
    return min(len(first), len(second))
