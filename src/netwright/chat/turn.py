"""A reply in the making: given logits it says what is read next, and what there is to show.

    turn = Turn(tokenizer, ids, Sampling(max_tokens=100), longest=2048)
    logits_TV = read(ids)[-1:]
    while not turn.finish:
        for piece in turn.push(logits_TV, seconds): ...  # or None
        forget what was read after turn.right tokens
        logits_TV = read(turn.wants())
    turn.last()

Who reads, and with how many others at once, it does not know: `chat.engine` reads one reply, `chat.batch` many.

Shape legend: T tokens that were read, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from netwright.chat import sampling
from netwright.chat.json_object import JsonReply, vocabulary
from netwright.chat.lookup import Lookup
from netwright.chat.sampling import Sampler, Sampling
from netwright.chat.stops import Stops
from netwright.data.tokenizer import Stream, Tokenizer

Finish = Literal["stop", "length", "cancelled", "blocked"]
"""Why a reply ended; "blocked" by a filter of `chat.safety`."""


@dataclass(frozen=True)
class Token:
    """A token of a reply; with `Sampling.logprobs` its logprob and the likeliest ones in its place."""

    id: int
    logprob: float | None = None
    instead: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Statistics:
    """What a reply took. Seconds are from the request; `per_second` counts tokens after the first."""

    prompt: int
    reused: int
    """Tokens of the prompt that had been read before."""
    left_out: int
    """Messages that were left out because the conversation was too long."""
    tokens: int
    first_token: float
    seconds: float
    per_second: float
    proposed: int = 0
    """Tokens that lookup guessed, and how many of them were right."""
    accepted: int = 0


@dataclass(frozen=True)
class Piece:
    """Text that is whole, and the tokens since the last piece; the last one says why it ends, and what it took."""

    text: str
    tokens: tuple[Token, ...] = ()
    finish: Finish | None = None
    statistics: Statistics | None = None


class Turn:
    """One reply. `lookup` guesses what follows out of what was said; without it one token is read at a time."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        ids: Sequence[int],
        told: Sampling,
        longest: int,
        left_out: int = 0,
        lookup: Lookup | None = None,
        clock: Callable[[], float] = time.perf_counter,
        begin: float | None = None,
    ) -> None:
        self.seen = list(ids)
        """The prompt and what was chosen since."""
        self.finish: Finish | None = None
        self.reused = 0
        """Tokens of the prompt that had been read before; whoever reads sets it."""
        self._stream, self._stops, self._told = Stream(tokenizer), Stops(told.stop), told
        self._ends = () if told.ignore_end else tokenizer.stop
        self._sampler, self._lookup, self._longest = Sampler(told), lookup, longest
        self._wanted = JsonReply(vocabulary(tokenizer)) if told.json else None
        self._prompt, self._left_out, self._clock = len(self.seen), left_out, clock
        self._begin = clock() if begin is None else begin
        self._first = self._last = 0.0
        self._tokens: list[Token] = []
        self._guess: list[int] = []
        self._alone = False
        if lookup:
            lookup.begin()

    @property
    def count(self) -> int:
        """Tokens of the reply so far."""
        return len(self.seen) - self._prompt

    def wants(self, guess: bool = True) -> list[int]:
        """Tokens to be read next: the last one, and with `guess` those that may follow it."""
        most = min(self._told.max_tokens - self.count - 1, self._longest - len(self.seen))
        self._alone = guess
        self._guess = self._lookup.propose(self.seen, most) if guess and self._lookup and most > 0 else []
        return [self.seen[-1], *self._guess]

    def push(self, logits_TV: NDArray[np.float32], seconds: float = 0.0) -> Iterator[Piece | None]:
        """For each token that the logits choose, as long as guesses were right, a piece; None where none is whole yet.

        `seconds` is what reading took. Set `finish` to end it between two tokens.
        """
        guess, right = self._guess, 0
        self._guess = []
        for at, logits_V in enumerate(logits_TV):
            chosen = self._choose(logits_V)
            if chosen in self._ends:
                self.finish = "stop"
                break
            yield self.take(chosen, logits_V)
            if self.finish or at == len(guess) or chosen != guess[at]:
                break
            right += 1
        if self._lookup and guess:
            self._lookup.checked(len(guess), right, seconds)
        elif self._lookup and self._alone:
            self._lookup.plain(seconds)

    def _choose(self, logits_V: NDArray[np.float32]) -> int:
        if self._wanted is None:
            return self._sampler.choose(logits_V, self.seen, self._prompt)
        return self._wanted.choose(logits_V, lambda x_V: self._sampler.choose(x_V, self.seen, self._prompt))

    def take(self, chosen: int, logits_V: NDArray[np.float32]) -> Piece | None:
        """A token more: a piece, where there is something to show."""
        self._last = self._clock()
        self._first = self._first or self._last
        self.seen.append(chosen)
        told = Token(chosen)
        if self._told.logprobs:
            log_V = sampling.logprobs(logits_V)
            told = Token(chosen, float(log_V[chosen]), sampling.best(logits_V, self._told.logprobs))
        self._tokens.append(told)
        text = self._stops.push(self._stream.push(chosen))
        if self._stops.stopped or (self._wanted and self._wanted.complete):
            self.finish = "stop"
        elif self.count == self._told.max_tokens or len(self.seen) > self._longest:
            self.finish = "length"
        return Piece(text, self._taken()) if text else None

    def last(self) -> Piece:
        """The last piece: what was held back, unless a stop text has come."""
        text = self._stops.push(self._stream.end())
        if self._stops.stopped and self.finish == "length":
            self.finish = "stop"
        now = self._clock()
        pace = self._last - self._first
        found = Statistics(
            prompt=self._prompt,
            reused=self.reused,
            left_out=self._left_out,
            tokens=self.count,
            first_token=(self._first or now) - self._begin,
            seconds=now - self._begin,
            per_second=(self.count - 1) / pace if pace > 0 else 0.0,
            proposed=self._lookup.proposed if self._lookup else 0,
            accepted=self._lookup.accepted if self._lookup else 0,
        )
        return Piece(text + self._stops.end(), self._taken(), self.finish, found)

    def _taken(self) -> tuple[Token, ...]:
        taken, self._tokens = tuple(self._tokens), []
        return taken
