"""What a long conversation was about: its oldest turns give way to a summary that the model writes of them itself.

    engine = Summarising(Engine(decoder, tokenizer, long="refuse"))
    for piece in engine.stream(messages): ...

Turns are summed up several at a time, so that the next ones find room and what was read stays read; a summary is kept,
and grows by the next turns. System messages at the front and the last turn stay as they are. What a summary leaves out
is lost to the model, not to the person: histories keep every message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

from netwright.chat.engine import RESERVED, Generator, Prompt
from netwright.chat.sampling import GREEDY, Sampling
from netwright.chat.turn import Piece
from netwright.core.error import UserError
from netwright.data import prompt
from netwright.data.text import Message

ASK = (
    "Sum up the conversation so far in a few sentences, for yourself: what was asked, what was answered, names, "
    "numbers and decisions."
)
SAID = "Earlier in this conversation: "
SHARE = 0.125
"""Tokens of a summary, at most, as a share of the longest text."""
ROOM = 0.5
"""Share of what fits that is in use after turns were summed up."""


class Summarising:
    """A `Generator` whose conversations that are too long are summed up; texts of ids go through as they are."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self.tokenizer, self.longest, self.precision = generator.tokenizer, generator.longest, generator.precision
        self._known: dict[tuple[Message, ...], str] = {}

    def stream(
        self, prompt: Prompt, sampling: Sampling = GREEDY, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Piece]:
        """The reply, piece by piece. Raises UserError where the last turn alone is too long."""
        if len(prompt) and isinstance(prompt[0], Message):
            prompt = self.shortened(cast(Sequence[Message], prompt), sampling, cancelled)
        return self._generator.stream(prompt, sampling, cancelled)

    def shortened(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, cancelled: Callable[[], bool] = lambda: False
    ) -> Sequence[Message]:
        """The conversation as the model is given it: whole where it fits."""
        most = self.longest - min(sampling.max_tokens, int(RESERVED * self.longest))
        front = next((at for at, one in enumerate(messages) if one.role != "system"), len(messages))
        begins = [at for at, one in enumerate(messages) if at > front and one.role == "user"]
        if self._fits(messages, most):
            return messages
        known = [at for at in begins if tuple(messages[:at]) in self._known]
        for first in reversed(known):
            short = self._with(self._known[tuple(messages[:first])], messages, front, first)
            if self._fits(short, most):
                return short
        room = int(ROOM * most)
        if not begins:
            return messages  # the engine says that it is too long
        first = next((at for at in begins if self._fits([*messages[:front], *messages[at:]], room)), begins[-1])
        short = self._with(self._summary(messages, front, first, cancelled), messages, front, first)
        return short if self._fits(short, most) else [*messages[:front], *messages[first:]]

    def _summary(self, messages: Sequence[Message], front: int, first: int, cancelled: Callable[[], bool]) -> str:
        """A summary of messages[front:first], in as many parts as it takes."""
        told = Sampling(max_tokens=max(1, int(SHARE * self.longest)))
        begins = [at for at in range(front + 1, first) if messages[at].role == "user"] + [first]
        at = max((end for end in begins if tuple(messages[:end]) in self._known), default=front)
        said = self._known.get(tuple(messages[:at]), "")
        while at < first and not cancelled():
            ends = [end for end in begins if end > at]
            asked = next(
                (
                    (end, whole)
                    for end in reversed(ends)
                    if self._fits(whole := self._asked(said, messages[at:end]), self.longest - told.max_tokens)
                ),
                None,
            )
            if asked is None:  # a turn that is too long by itself
                at = ends[0]
                continue
            at, whole = asked
            said = "".join(piece.text for piece in self._generator.stream(whole, told, cancelled)).strip()
        if not cancelled():
            self._known = {key: text for key, text in self._known.items() if tuple(messages[: len(key)]) == key}
            self._known[tuple(messages[:first])] = said
        return said

    @staticmethod
    def _asked(said: str, turns: Sequence[Message]) -> list[Message]:
        before = [Message("system", SAID + said)] if said else []
        return [*before, *turns, Message("user", ASK)]

    @staticmethod
    def _with(said: str, messages: Sequence[Message], front: int, first: int) -> list[Message]:
        """Front, summary and last turns; templates take one system message, so both are one."""
        system = "\n\n".join([*(one.content for one in messages[:front]), *([SAID + said] if said else [])])
        return [*([Message("system", system)] if system else []), *messages[first:]]

    def _fits(self, messages: Sequence[Message], most: int) -> bool:
        try:
            prompt.fitted(self.tokenizer, messages, most, "refuse")
        except UserError:
            return False
        return True
