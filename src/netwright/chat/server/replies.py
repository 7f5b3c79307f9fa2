"""Replies as OpenAI's clients read them, whole and in chunks.

    form = ChatForm(model="smollm2", tokenizer=tokenizer, logprobs=2)
    form.chunk(0, piece)          # of a stream
    form.whole(pieces_of_each)    # all at once

Token texts of logprobs are what a token says alone; of a part of a character only the bytes are right.
"""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netwright.chat.turn import Piece, Statistics, Token
from netwright.data.tokenizer import Tokenizer

Json = dict[str, Any]


REASONS: Mapping[str | None, str] = {"blocked": "content_filter"}
"""What OpenAI calls a finish that it calls otherwise."""


@dataclass
class Form(ABC):
    """What all replies to a request share. `logprobs`: None, or how many alternatives are told."""

    model: str
    tokenizer: Tokenizer
    logprobs: int | None = None
    usage: bool = False
    """Whether a stream ends with what it took."""
    n: int = 1
    """Replies to a prompt."""
    made: int = field(default_factory=lambda: int(time.time()))
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    kind, prefix, chunks = "", "", ""

    def envelope(self, kind: str, choices: list[Json]) -> Json:
        """What stands around choices."""
        head = {"id": f"{self.prefix}-{self.id}", "object": kind, "created": self.made, "model": self.model}
        return {**head, "system_fingerprint": None, "choices": choices}

    def chunk(self, at: int, piece: Piece) -> Json:
        """A piece of a stream."""
        made = self.envelope(self.chunks, [self.part(at, piece)])
        return {**made, "usage": None} if self.usage else made

    def begin(self, at: int) -> Json | None:
        """What a stream says of a reply before its first piece."""
        return None

    def last(self, took: Sequence[Statistics]) -> Json:
        """The chunk of what it took."""
        return {**self.envelope(self.chunks, []), "usage": usage(took, self.n)}

    def whole(self, replies: Sequence[Sequence[Piece]]) -> Json:
        """All replies at once."""
        took = [one for pieces in replies if (one := pieces[-1].statistics)]
        choices = [self.choice(at, joined(pieces)) for at, pieces in enumerate(replies)]
        return {**self.envelope(self.kind, choices), "usage": usage(took, self.n)}

    @abstractmethod
    def part(self, at: int, piece: Piece) -> Json:
        """A choice of a chunk."""

    @abstractmethod
    def choice(self, at: int, piece: Piece) -> Json:
        """A choice of a whole reply."""

    def text_of(self, at: int) -> str:
        """What a token says, alone."""
        return self.tokenizer.decode([at], special=True)

    def bytes_of(self, at: int) -> list[int]:
        """Its bytes."""
        found = self.tokenizer.spellings[at] if at < len(self.tokenizer.spellings) else None
        return list(found if found is not None else self.text_of(at).encode())


class ChatForm(Form):
    """Of /v1/chat/completions."""

    kind, prefix, chunks = "chat.completion", "chatcmpl", "chat.completion.chunk"

    def begin(self, at: int) -> Json | None:
        """The role, which comes first."""
        delta = {"role": "assistant", "content": ""}
        made = self.envelope(self.chunks, [{"index": at, "delta": delta, "logprobs": None, "finish_reason": None}])
        return {**made, "usage": None} if self.usage else made

    def part(self, at: int, piece: Piece) -> Json:
        """A choice of a chunk."""
        delta = {"content": piece.text} if piece.text else {}
        return {
            "index": at,
            "delta": delta,
            "logprobs": self._told(piece.tokens),
            "finish_reason": REASONS.get(piece.finish, piece.finish),
        }

    def choice(self, at: int, piece: Piece) -> Json:
        """A choice of a whole reply."""
        message = {"role": "assistant", "content": piece.text, "refusal": None}
        return {
            "index": at,
            "message": message,
            "logprobs": self._told(piece.tokens),
            "finish_reason": REASONS.get(piece.finish, piece.finish),
        }

    def _told(self, tokens: Sequence[Token]) -> Json | None:
        if self.logprobs is None:
            return None
        return {"content": [self._token(one) for one in tokens], "refusal": None}

    def _token(self, token: Token) -> Json:
        best = [self._one(at, logprob) for at, logprob in token.instead[: self.logprobs]]
        return {**self._one(token.id, token.logprob or 0.0), "top_logprobs": best}

    def _one(self, at: int, logprob: float) -> Json:
        return {"token": self.text_of(at), "logprob": finite(logprob), "bytes": self.bytes_of(at)}


class CompletionForm(Form):
    """Of /v1/completions."""

    kind, prefix, chunks = "text_completion", "cmpl", "text_completion"

    def part(self, at: int, piece: Piece) -> Json:
        """A choice of a chunk."""
        return {
            "index": at,
            "text": piece.text,
            "logprobs": self._told(piece.tokens),
            "finish_reason": REASONS.get(piece.finish, piece.finish),
        }

    choice = part

    def _told(self, tokens: Sequence[Token]) -> Json | None:
        if self.logprobs is None:
            return None
        texts = [self.text_of(one.id) for one in tokens]
        places = [sum(map(len, texts[:at])) for at in range(len(texts))]
        best = [{self.text_of(at): finite(logprob) for at, logprob in one.instead[: self.logprobs]} for one in tokens]
        return {
            "tokens": texts, "token_logprobs": [finite(one.logprob or 0.0) for one in tokens],
            "top_logprobs": best, "text_offset": places,
        }  # fmt: skip


def joined(pieces: Sequence[Piece]) -> Piece:
    """A reply as one piece."""
    tokens = tuple(token for piece in pieces for token in piece.tokens)
    return Piece("".join(piece.text for piece in pieces), tokens, pieces[-1].finish, pieces[-1].statistics)


def usage(took: Sequence[Statistics], n: int = 1) -> Mapping[str, Any]:
    """Tokens of all replies; a prompt that has `n` of them is counted once."""
    prompt, reply = sum(one.prompt for one in took[::n]), sum(one.tokens for one in took)
    cached = {"cached_tokens": sum(one.reused for one in took[::n])}
    told = {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": prompt + reply}
    return {**told, "prompt_tokens_details": cached}


def finite(logprob: float) -> float:
    """A logprob as JSON can say it: what cannot be is -9999, as OpenAI has it."""
    return max(logprob, -9999.0)
