"""Whole trees as plain rows, to be taken elsewhere and back: all of them or nothing.

    for row in taken(history): ...
    restore(history, Bundle(...))

A row is a message, a reply that has ended, or a conversation with the ids of its messages. Restoring twice changes
nothing: messages are known by their hash, replies and conversations by their ids, and what is here already stays, but
for a conversation that was changed later elsewhere.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from netwright.chat.history import nodes, rows, schema, streaming
from netwright.chat.history.nodes import About, Conversation, Node
from netwright.chat.history.schema import conversations, members, messages, replies, tags
from netwright.chat.history.store import History
from netwright.core import db
from netwright.core.error import UserError, show

FORMAT, VERSION = "netwright-chats", 1
MESSAGE = ("id", "origin", "parent", "role", "name", "content", "created")
SETTINGS = ("tip", "title", "named", "system", "model", "pinned")
"""What of a conversation is that of whoever changed it last."""


@dataclass
class Bundle:
    """Rows by kind, messages after those that they follow. Where a time is None it is now."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)
    conversations: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Added:
    """How many rows of each kind were not there before."""

    conversations: int
    messages: int
    replies: int


def every(history: History, ids: Sequence[str] | None = None) -> Iterator[tuple[Conversation, list[Node]]]:
    """Conversations, all by default, the oldest first, each with the messages it reaches: as they are at one moment."""
    with db.looking(history.engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        order = (conversations.c.created, conversations.c.id)
        found = list(connection.scalars(sa.select(conversations.c.id).order_by(*order))) if ids is None else ids
        for id in found:
            rows.conversation(connection, id)
            (one,) = rows.listed(connection, sa.select(conversations).where(conversations.c.id == id))
            yield one, rows.with_replies(connection, rows.reached(connection, id))


def taken(history: History, ids: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Conversations as rows, each message and reply once and before the conversations that reach it."""
    seen: set[str] = set()
    for one, reached in every(history, ids):
        for node in reached:
            if node.id in seen:
                continue
            seen.add(node.id)
            plain = {name: getattr(node, name) for name in MESSAGE if name != "origin"}
            yield {"kind": "message", **plain, "origin": one.origin}
            for reply in node.replies:
                yield {"kind": "reply", "message": node.id, **dataclasses.asdict(reply)}
        about = dataclasses.asdict(one)
        del about["count"]
        yield {"kind": "conversation", **about, "messages": [node.id for node in reached]}


def restore(history: History, bundle: Bundle) -> Added:
    """Add what is not there yet, in one transaction. Raises UserError where an id stands for something else here."""
    now = time.time()
    with db.writing(history.engine) as connection:
        schema.lock(connection)
        before = _counts(connection)
        rows.insert_new(connection, messages, [_timed(one, now, "created") for one in bundle.messages])
        for one in bundle.conversations:
            _conversation(connection, one, now)
        empty = streaming.row("", About(), finish="")
        rows.insert_new(connection, replies, [{**empty, **_timed(one, now, "created")} for one in bundle.replies])
        after = _counts(connection)
    return Added(*(b - a for a, b in zip(before, after, strict=True)))


def message(origin: str, parent: str | None, role: str, content: str, created: float | None = None) -> dict[str, Any]:
    """A row of a message that comes from elsewhere. Raises UserError for a text that cannot be kept."""
    nodes.checked("import", content)
    id = nodes.digest(parent, origin, role, content)
    told = {"id": id, "origin": origin, "parent": parent, "role": role, "name": "", "content": content}
    return {**told, "created": created}


def conversation(
    id: str, found: Sequence[Mapping[str, Any]], tip: str | None, system: str = "", title: str = "",
    changed: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A row of a conversation that comes from elsewhere, over its messages."""
    first = next((one["content"] for one in found if one["role"] == "user"), "")
    named = title.strip()[: 5 * nodes.TITLE]
    about: dict[str, Any] = {
        "id": id,
        "origin": id,
        "tip": tip,
        "title": nodes.title_of(named or first),
        "named": bool(named),
    }
    about |= {"system": nodes.checked("import", system), "model": "", "pinned": False, "tags": []}
    return {**about, "created": changed, "changed": changed, "messages": [one["id"] for one in found]}


def _conversation(connection: Connection, one: Mapping[str, Any], now: float) -> None:
    id = one["id"]
    query = sa.select(conversations).where(conversations.c.id == id)
    here = connection.execute(query).mappings().first()
    row = {name: value for name, value in one.items() if name not in ("tags", "messages", "kind")}
    if here is None:
        connection.execute(conversations.insert(), _timed(row, now, "created", "changed"))
    elif here["origin"] != one["origin"]:
        raise broken(f"conversation {id}", "a conversation of this id is here, and it is another one")
    rows.insert_new(connection, members, [{"conversation": id, "message": at} for at in one["messages"]])
    rows.insert_new(connection, tags, [{"conversation": id, "tag": at} for at in one["tags"]])
    if here is not None and one["changed"] is not None and one["changed"] > here["changed"]:
        newer = {name: one[name] for name in (*SETTINGS, "changed")}
        connection.execute(conversations.update().where(conversations.c.id == id).values(newer))


def _timed(row: Mapping[str, Any], now: float, *names: str) -> dict[str, Any]:
    return {**row, **{name: now for name in names if row[name] is None}}


def _counts(connection: Connection) -> tuple[int, ...]:
    tables = (conversations, messages, replies)
    return tuple(int(connection.scalar(sa.select(sa.func.count()).select_from(one)) or 0) for one in tables)


def broken(place: str, why: str) -> UserError:
    """What is said of a file that cannot be imported."""
    return UserError("import", place, why, "mend the file; nothing was imported")


def ordered(parents: Mapping[str, str | None]) -> list[str]:
    """Ids, each after its parent, else as they come. Raises UserError for a cycle."""
    found: list[str] = []
    done: set[str] = set()
    waiting: dict[str, list[str]] = {}
    for id, parent in parents.items():
        if parent is not None and parent not in done:
            waiting.setdefault(parent, []).append(id)
            continue
        ready = [id]
        while ready:
            at = ready.pop()
            found.append(at)
            done.add(at)
            ready += reversed(waiting.pop(at, ()))
    if len(found) != len(parents):
        raise broken(f"message {show(next(iter(waiting)))}", "it is missing, or follows itself")
    return found
