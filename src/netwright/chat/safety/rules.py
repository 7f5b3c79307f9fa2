"""What an owner says of safety: a table [safety] of TOML, and the filters that it asks for.

    config = read(Path("chat.toml"))
    rules = opened(config, Path("chat.toml").parent)

Other tables of the file are others' business. Without a [safety] table nothing is filtered.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from netwright.chat.safety import FILTERS, journal, personal, requests, words
from netwright.chat.safety.finding import Action, Filter, Finding, Where
from netwright.core import recipe, table
from netwright.core.error import UserError, did_you_mean

CALM = "This part of the conversation stops here. Please ask in another way, or about something else."
SECTION = "safety"
Side = Literal["asked", "reply"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """The [safety] table: one table for each filter, and one for the journal."""

    words: words.Config = field(default_factory=words.Config)
    personal: personal.Config = field(default_factory=personal.Config)
    requests: requests.Config = field(default_factory=requests.Config)
    journal: journal.Config = field(default_factory=journal.Config)
    sentence: str = CALM
    """What is said in the place of what is blocked."""


@dataclass(frozen=True)
class Rule:
    """A filter, and what is done about its findings from a score on."""

    filter: Filter
    action: Action
    where: Where
    threshold: float

    def counts(self, one: Finding) -> bool:
        """Whether something is done about a finding."""
        return one.score >= self.threshold


@dataclass(frozen=True)
class Rules:
    """The rules in their order, and what is said where something is blocked."""

    rules: tuple[Rule, ...]
    sentence: str = CALM

    def of(self, side: Side) -> tuple[Rule, ...]:
        """Those of what is asked, or of replies."""
        return tuple(one for one in self.rules if one.where in ("both", side))


def read(path: Path) -> Config | None:
    """The [safety] table of a file, or None where it has none. Raises UserError for what it does not know."""
    told = recipe.read_toml(path)
    if SECTION not in told:
        near = difflib.get_close_matches(SECTION, told, 1, 0.7)
        if near:
            raise UserError(near[0], told[near[0]], did_you_mean(near[0], [SECTION]), f"mend {path}")
        return None
    return from_values(told[SECTION], path)


def from_values(values: Mapping[str, Any], path: Path = Path("-")) -> Config:
    """A config of plain values."""
    return cast(Config, recipe.parse({SECTION: values}, {SECTION: Config}, path)[SECTION])


def opened(config: Config, folder: Path = Path()) -> Rules:
    """The filters that are not off, opened; files are looked for in `folder`. Raises UserError."""
    rules = []
    for name in FILTERS:
        told = getattr(config, name)
        if told.action != "off":
            filter: Filter = table.resolve(FILTERS, name, SECTION).open(told, folder)
            rules.append(Rule(filter, told.action, told.where, told.threshold))
    return Rules(tuple(rules), config.sentence)
