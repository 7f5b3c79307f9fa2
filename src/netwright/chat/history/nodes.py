"""What a history is made of: messages under their hash, the conversations that stand at them, and what replies took.

    digest(None, "5f0c...", "user", "Why is the sky blue?")

A message's id is the sha256 of what it says and of what it follows, so that the same text after the same messages is
the same message: forks share, edits are siblings, and two replies of equal text are one message with two records. A
first message follows the conversation's origin, a random number: strangers that both begin with "Hi" share nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from netwright.core.error import UserError
from netwright.data.text import Message

ROLES = ("user", "assistant", "system", "tool")
LONGEST = 4 << 20
"""Characters of a message."""
TITLE = 60
"""Characters of a title that is made of first words; one that is given may have ten times as many."""
LONGEST_TITLE = 10 * TITLE
LONGEST_TAG = 60
UNTITLED = "New conversation"
_UNSOUND = re.compile("[\0\ud800-\udfff]")
_OBEYED = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class About:
    """What answers, and how it is told to: kept with each reply, so that it can be had again."""

    model: str = ""
    """The word that opens it."""
    artifact: str = ""
    """Digest of the artifact that was named, which an engine may run in another format; `template` of its template."""
    template: str = ""
    system: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    precision: str = ""
    engine: str = ""
    threads: int | None = None


@dataclass(frozen=True)
class Reply(About):
    """What a model did once. `finish` is that of `chat.turn`, "interrupted", or "" where nothing is known of it."""

    id: str = ""
    statistics: Mapping[str, Any] = field(default_factory=dict)
    finish: str = ""
    created: float = 0.0
    ended: float | None = None
    thumb: int = 0
    note: str = ""


@dataclass(frozen=True)
class Node:
    """A message in its place: the `which`-th, from 1, of `siblings` that follow the same message."""

    id: str
    parent: str | None
    role: str
    content: str
    name: str = ""
    created: float = 0.0
    siblings: int = 1
    which: int = 1
    replies: tuple[Reply, ...] = ()

    @property
    def message(self) -> Message:
        """As an engine takes it."""
        return Message(self.role, self.content)

    @property
    def thumb(self) -> int:
        """What was said of it: above 0 good, below 0 bad."""
        return sum(one.thumb for one in self.replies)


@dataclass(frozen=True)
class Conversation:
    """A way through the tree. `tip` is the message it stands at; `count` how many it reaches."""

    id: str
    origin: str
    tip: str | None
    title: str
    named: bool
    system: str
    model: str
    pinned: bool
    created: float
    changed: float
    tags: tuple[str, ...] = ()
    count: int = 0


def digest(parent: str | None, origin: str, role: str, content: str, name: str = "") -> str:
    """The id of a message: sha256 over what it follows, its role, name and text."""
    follows = parent or f"origin {origin}"
    return hashlib.sha256(json.dumps([follows, role, name, content], ensure_ascii=False).encode()).hexdigest()


def checked(setting: str, text: str) -> str:
    """A text as it is. Raises UserError for one that is too long, or that no database can keep."""
    if len(text) > LONGEST:
        raise UserError(setting, f"{len(text):,} characters", f"at most {LONGEST:,}", "shorten it")
    found = _UNSOUND.search(text)
    if found:
        raise UserError(setting, repr(found[0]), "text without NUL and without halves of characters", "remove it")
    return text


def sound(text: str) -> str:
    """A model's text as it can be kept: U+FFFD for what is no character."""
    return _UNSOUND.sub("\ufffd", text)


def shown(text: str) -> str:
    """A text as a terminal may print it: without what it would obey."""
    return _OBEYED.sub("\ufffd", text)


def title(text: str) -> str:
    """A title in one line. Raises UserError for one that is too long."""
    if len(checked("title", text)) > LONGEST_TITLE:
        raise UserError("title", text, f"at most {LONGEST_TITLE} characters", "shorten it")
    return " ".join(text.split())


def tag(text: str) -> str:
    """A tag, in small letters. Raises UserError for what is no word."""
    word = checked("tag", text).strip().lower()
    if not word or len(word) > LONGEST_TAG or not word.isprintable():
        raise UserError("tag", text, f"a word of at most {LONGEST_TAG} characters", "/tag physics")
    return word


def plain(value: Any) -> Any:
    """What is told of a reply as JSON of any database holds it: sound texts, finite numbers of 64 bits."""
    if isinstance(value, Mapping):
        return {sound(str(key)): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    return value if value is None else sound(str(value))


def title_of(text: str) -> str:
    """The first words of a text, without what a terminal would obey."""
    words = " ".join("".join(one if one.isprintable() else " " for one in text[: 20 * TITLE]).split())
    if len(words) <= TITLE:
        return words or UNTITLED
    return words[:TITLE].rpartition(" ")[0] or words[:TITLE]


def children(nodes: Iterable[Node]) -> dict[str | None, list[Node]]:
    """What follows each message, the oldest first, as the nodes come."""
    found: dict[str | None, list[Node]] = {}
    for one in nodes:
        found.setdefault(one.parent, []).append(one)
    return found


def path(nodes: Sequence[Node], tip: str | None) -> list[Node]:
    """The messages that lead to the tip, each with its place among its siblings."""
    known, below = {one.id: one for one in nodes}, children(nodes)
    found: list[Node] = []
    while tip is not None:
        one = known[tip]
        beside = below[one.parent]
        which = 1 + next(at for at, sibling in enumerate(beside) if sibling.id == tip)
        found.append(replace(one, siblings=len(beside), which=which))
        tip = one.parent
    return found[::-1]


def leaf(nodes: Sequence[Node], top: str) -> str:
    """Where the newest branch from a message ends."""
    below = children(nodes)
    while top in below:
        top = below[top][-1].id
    return top


def subtree(nodes: Sequence[Node], top: str) -> list[str]:
    """A message and all that follows it."""
    below, found = children(nodes), [top]
    for one in found:  # grows while it is read
        found += [child.id for child in below.get(one, ())]
    return found


def branches(nodes: Sequence[Node], tip: str | None) -> list[list[Node]]:
    """All messages as lines: first that of the tip, then each that leaves one of them, on to its newest end."""
    lines = [path(nodes, tip)]
    seen = {one.id for one in lines[0]}
    below = children(nodes)
    for one in nodes:
        if one.id not in seen:
            line = [one]
            while below.get(line[-1].id):
                line.append(below[line[-1].id][-1])
            seen.update(node.id for node in line)
            lines.append(line)
    return lines
