"""A candidate to answer with: an engine, a precision, a number of threads; and the rules by which the best is told.

    at, why = weighed(rows, Config())
    passes(rows[at], Config())

A candidate may lose at most 1 % of perplexity, one of INT4 5 %, and that only where it is faster. Candidates are
compared by a whole turn of a chat: a prompt read, a reply decoded. Measures nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from netwright.core.error import UserError
from netwright.core.recipe import Range


@dataclass(frozen=True, kw_only=True)
class Config:
    """How candidates are measured, and what they may lose."""

    tokens: Annotated[int, Range(16, 1_000_000)] = 4096
    """Validation tokens of the perplexity."""
    prompt: Annotated[int, Range(1, 100_000)] = 128
    reply: Annotated[int, Range(2, 10_000)] = 32
    seconds: Annotated[float, Range(0, 100)] = 0.5
    """What replies of a round last together, at least: small models answer in too short a time to be told apart."""
    rounds: Annotated[int, Range(2, 1000)] = 7
    answer: Annotated[int, Range(1, 100_000)] = 256
    """Tokens that are answered to a prompt in the turn by which candidates are compared."""
    loss: Annotated[float, Range(0, 10)] = 0.01
    """Share of perplexity that a candidate may lose."""
    loss_4bit: Annotated[float, Range(0, 10)] = 0.05
    """Of 4 bits: what the upper end of the interval may lose, because a few texts can be lucky ones."""
    gain_4bit: Annotated[float, Range(1, 10)] = 1.05
    """How many times as fast as the best of the others one of 4 bits has to be."""
    threads: tuple[int, ...] = ()
    """Counts of threads; empty: 1, 2, 4 and so on, and as many as this process may use."""
    formats: tuple[str, ...] = ()
    """Formats to try; empty: all whose packages are installed."""


USUAL = Config()


@dataclass(frozen=True, kw_only=True)
class Row:
    """A candidate and what was seen of it. Speeds are medians over rounds, in tokens a second."""

    format: str
    stored: str
    computed: str | None
    threads: int
    folder: str
    loss: float = 0.0
    """Share of perplexity lost; the upper end of its interval is `loss_high`."""
    loss_high: float = 0.0
    decode: float = 0.0
    decode_low: float = 0.0
    decode_high: float = 0.0
    prefill: float = 0.0
    first_token: float = 0.0
    fault: str = ""
    slow: bool = False
    """Too slow for its perplexity to be judged: what it loses is not known."""

    @property
    def name(self) -> str:
        """What a table prints."""
        told = [self.format if self.format != "gguf" else "llama.cpp", self.stored.removesuffix("-weights") or "fp32"]
        return " ".join([*told, f"in {self.computed}" if self.computed else ""]).strip()

    @property
    def four_bits(self) -> bool:
        """Whether weights have 4 bits."""
        return self.stored.startswith(("Q4", "int4"))


def weighed(rows: Sequence[Row], config: Config) -> tuple[int, str]:
    """Which row is best, and why. Raises UserError where no candidate runs and is good enough."""
    fine = [at for at, row in enumerate(rows) if row.decode > 0 and passes(row, config)]
    whole = [at for at in fine if not rows[at].four_bits]
    if not fine:
        raise UserError("model", "no candidate", "none runs here and keeps its perplexity", "netwright doctor")
    speed = [pace(row.decode, row.prefill, config) for row in rows]
    best = max(whole, key=lambda at: speed[at], default=None)
    four = max((at for at in fine if rows[at].four_bits), key=lambda at: speed[at], default=None)
    if best is None or (four is not None and speed[four] >= config.gain_4bit * speed[best]):
        assert four is not None
        than = f", {speed[four] / speed[best]:.2f} times {rows[best].name}" if best is not None else ""
        return four, _why(rows[four], f"fastest, and loses no more than 4 bits may{than}")
    # within 2 % it is chance; then what loses less is better
    near = [at for at in whole if speed[at] >= 0.98 * speed[best]]
    best = min(near, key=lambda at: (rows[at].loss, -speed[at]))
    quicker = [at for at, row in enumerate(rows) if speed[at] > speed[best] and not passes(row, config)]
    more = f"; {len(quicker)} faster ones lose too much" if quicker else ""
    return best, _why(rows[best], f"fastest of {len(fine)} that keep their perplexity{more}")


def pace(decode: float, prefill: float, config: Config) -> float:
    """Tokens a second of a whole turn, its prompt read before: who decodes best may read ten times as slowly."""
    reading = config.prompt / prefill if prefill else 0.0
    return decode / (1 + decode * reading / config.answer)


def passes(row: Row, config: Config) -> bool:
    """Whether a candidate keeps enough of the model's perplexity."""
    if row.fault or row.slow:
        return False
    return max(row.loss, row.loss_high) <= config.loss_4bit if row.four_bits else row.loss <= config.loss


def _why(row: Row, because: str) -> str:
    threads = f"{row.threads} thread{'s' if row.threads > 1 else ''}"
    return f"{row.name}, {threads}: {because} ({row.decode:.1f} tokens/s, perplexity {row.loss:+.2%})"
