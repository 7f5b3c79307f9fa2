"""What filters find, and what a filter is.

    for one in filter.check("mail me at ann@shop.org"):
        print(one.kind, one.start, one.end, one.score, one.reason)      # e-mail 11 23 0.99 ...

A text that is whole is checked; one that still grows is scanned: `Scan.push` tells what is found, and `settled` how
far nothing more can begin. What stands behind it may still become something, and is held back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

Action = Literal["off", "log", "mask", "block"]
Where = Literal["both", "asked", "reply"]
"""What a filter reads: what a person asks, the replies, or both."""


@dataclass(frozen=True, slots=True)
class Finding:
    """text[start:end] is of some kind, by a score from 0 to 1; the reason never holds the text itself."""

    kind: str
    start: int
    end: int
    score: float
    reason: str
    goes_on: bool = False
    """Whether it is more of the finding that ends where it begins."""


class Scan(Protocol):
    """A filter's look at one text that comes in pieces."""

    settled: int
    """Everything that begins before this place has been told."""

    def push(self, text: str, end: bool = False) -> list[Finding]:
        """What is found now that this came, too; with `end` nothing more comes."""
        ...


class Filter(Protocol):
    """Looks for something in texts. It keeps nothing of them."""

    name: str

    def check(self, text: str) -> list[Finding]:
        """Everything found in a text that is whole, by its place."""
        ...

    def scan(self) -> Scan:
        """A look at a text that grows."""
        ...


def whole(scan: Scan, text: str) -> list[Finding]:
    """What a scan finds in a whole text: findings that go on joined."""
    return joined(scan.push(text, end=True))


def joined(found: Iterable[Finding]) -> list[Finding]:
    """Findings by their place, those that go on as part of the one that they go on with."""
    out: list[Finding] = []
    for one in sorted(found, key=lambda one: (one.start, one.goes_on, -one.end)):
        if one.goes_on:
            at = next((n for n in range(len(out) - 1, -1, -1) if out[n].kind == one.kind), None)
            if at is not None:
                out[at] = replace(out[at], end=max(out[at].end, one.end))
                continue
        out.append(replace(one, goes_on=False))
    return out


def shifted(found: Sequence[Finding], by: int) -> list[Finding]:
    """Findings in a part of a text, as they stand in the text."""
    return [replace(one, start=one.start + by, end=one.end + by) for one in found]
