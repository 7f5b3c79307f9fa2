"""What people said of answers side by side: the votes that the page gives out, and what they allow to say.

    found = read(Path("votes.json"))
    verdicts(found)      # ['tuned preferred over base: 31 of 42 votes, 74 % [59, 85]; 8 ties', ...]

The votes of several files are one count: people who judged the same page, or pages of the same models.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netwright.core import stats
from netwright.core.error import UserError

LARGEST = 10_000_000
"""Bytes of a file."""


@dataclass(frozen=True)
class Votes:
    """How often each model's answer was called the best, the reference first; `ties` are votes for none."""

    best: dict[str, int]
    ties: int
    blind: bool


def read(paths: Sequence[Path]) -> Votes:
    """Count votes. Raises UserError for a file that is none of the page's, and for pages of other models."""
    counts: Counter[str] = Counter()
    names: list[str] = []
    ties, blind = 0, True
    for path in paths:
        told = _told(path)
        found = list(told["tally"])
        if names and sorted(found) != sorted(names):
            raise UserError("--votes", str(path), f"votes on {', '.join(names)}", "judge these by themselves")
        names = names or found
        for vote in told["votes"]:
            best = vote["best"]
            if best is None:
                ties += 1
            elif best in names:
                counts[best] += 1
            else:
                raise UserError("--votes", str(path), f"a vote for one of {', '.join(names)}", "copy the votes again")
        blind = blind and told["blind"] is True
    return Votes({name: counts[name] for name in names}, ties, blind)


def _told(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("too large")
        told = json.loads(path.read_text(encoding="utf-8"))
        right = len(told["tally"]) > 1 and all("best" in vote for vote in told["votes"]) and "blind" in told
    except OSError as fault:
        raise UserError("--votes", str(path), f"a file ({fault.strerror})", "copy the votes from the page") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        right = False
    if not right:
        next = "netwright evaluate RUN RUN --sidebyside prompts.txt --blind"
        raise UserError("--votes", str(path), "the JSON that a page of answers side by side gives out", next)
    return dict(told)


def verdicts(found: Votes) -> list[str]:
    """A sentence for each model beside the first, with the interval of Wilson 1927; ties are told, and not counted."""
    reference, *others = found.best
    ties = f"; {found.ties} ties" if found.ties else ""
    seen = "" if found.blind else "; names were seen"
    said = []
    for name in others:
        won, n = found.best[name], found.best[name] + found.best[reference]
        if n == 0:
            said.append(f"no votes for {name} or {reference}{ties}{seen}")
            continue
        share = stats.proportion(won, n)
        low, high = 100 * share.low, 100 * share.high
        word = "preferred over" if low > 50 else "not preferred over" if high < 50 else "not told apart from"
        percent = f"{100 * share.value:.0f} % [{low:.0f}, {high:.0f}]"
        said.append(f"{name} {word} {reference}: {won} of {n} votes, {percent}{ties}{seen}")
    return said
