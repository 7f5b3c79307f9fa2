"""Rows of the tables as nodes and back, within a transaction that the caller began. Knows no person and no file."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, RowMapping

from netwright.chat.history import nodes
from netwright.chat.history.nodes import Conversation, Node, Reply
from netwright.chat.history.schema import conversations, members, messages, replies, tags
from netwright.core.error import UserError

NEXT = "netwright history list"
STREAMING = "streaming"
AT_ONCE = 500
KEPT = [replies.c[name] for name in Reply.__dataclass_fields__]
"""Columns of a reply that has ended."""


def insert_new(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose keys are not there yet."""
    made: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    for at in range(0, len(rows), AT_ONCE):
        connection.execute(made.insert(table).on_conflict_do_nothing(), [dict(one) for one in rows[at : at + AT_ONCE]])


def conversation(connection: Connection, id: str) -> RowMapping:
    """The row of a conversation. Raises UserError where there is none."""
    query = sa.select(conversations).where(conversations.c.id == nodes.sound(id))
    found = connection.execute(query).mappings().first()
    if found is None:
        raise UserError("conversation", id, "no such conversation", NEXT)
    return found


def listed(connection: Connection, query: sa.Select[Any]) -> list[Conversation]:
    """Conversations that a query over their table finds, with tags and how many messages each reaches."""
    found = connection.execute(query).mappings().all()
    ids = [one["id"] for one in found]
    tagged: dict[str, list[str]] = {}
    count: dict[str, int] = {}
    for at in range(0, len(ids), AT_ONCE):
        some = ids[at : at + AT_ONCE]
        for row in connection.execute(sa.select(tags).where(tags.c.conversation.in_(some))):
            tagged.setdefault(row.conversation, []).append(row.tag)
        counted = sa.select(members.c.conversation, sa.func.count()).group_by(members.c.conversation)
        count.update({row[0]: row[1] for row in connection.execute(counted.where(members.c.conversation.in_(some)))})
    return [
        Conversation(**one, tags=tuple(sorted(tagged.get(one["id"], ()))), count=count.get(one["id"], 0))
        for one in found
    ]


def reached(connection: Connection, id: str) -> list[Node]:
    """All messages that a conversation reaches, parents before children, siblings from the oldest."""
    query = sa.select(messages).join(members, members.c.message == messages.c.id)
    query = query.where(members.c.conversation == id).order_by(messages.c.number)
    return [_node(one, ()) for one in connection.execute(query).mappings()]


def with_replies(connection: Connection, found: Sequence[Node]) -> list[Node]:
    """The same nodes with what was kept of the replies that said them."""
    by_message: dict[str, list[Reply]] = {}
    ids = [one.id for one in found]
    for at in range(0, len(ids), AT_ONCE):
        query = sa.select(replies.c.message.label("said"), *KEPT).where(replies.c.message.in_(ids[at : at + AT_ONCE]))
        for row in connection.execute(query.order_by(replies.c.created, replies.c.id)).mappings():
            one = dict(row)
            by_message.setdefault(one.pop("said"), []).append(Reply(**one))
    return [replace(one, replies=tuple(by_message.get(one.id, ()))) for one in found]


def member(connection: Connection, id: str, message: str) -> RowMapping:
    """The row of a message that a conversation reaches. Raises UserError where it does not."""
    query = sa.select(messages).join(members, members.c.message == messages.c.id)
    query = query.where(members.c.conversation == nodes.sound(id), messages.c.id == nodes.sound(message))
    found = connection.execute(query).mappings().first()
    if found is None:
        raise UserError("message", message, "no message of this conversation", f"netwright history show {id[:8]}")
    return found


def put(
    connection: Connection, of: RowMapping, parent: str | None, role: str, content: str, name: str = "",
    created: float | None = None,
) -> str:  # fmt: skip
    """Add a message to a conversation, or find the one that says the same there; returns its id."""
    id = nodes.digest(parent, of["origin"], role, content, name)
    one = {"id": id, "origin": of["origin"], "parent": parent, "role": role, "name": name, "content": content}
    insert_new(connection, messages, [{**one, "created": time.time() if created is None else created}])
    insert_new(connection, members, [{"conversation": of["id"], "message": id}])
    return id


def move(connection: Connection, id: str, tip: str | None, **more: Any) -> None:
    """Let a conversation stand at another message; it counts as changed now."""
    changed = {"tip": tip, "changed": time.time(), **more}
    connection.execute(conversations.update().where(conversations.c.id == id).values(changed))


def leave(connection: Connection, id: str, gone: Iterable[str]) -> None:
    """Let a conversation reach these messages no longer; replies that stream after them end."""
    rows = [{"gone": one} for one in gone]
    if rows:
        streamed = replies.delete().where(replies.c.conversation == id, replies.c.parent == sa.bindparam("gone"))
        connection.execute(streamed, rows)
        one = members.delete().where(members.c.conversation == id, members.c.message == sa.bindparam("gone"))
        connection.execute(one, rows)


def sweep(connection: Connection, origin: str) -> None:
    """Delete the messages of a tree that no conversation reaches, all of them at once for the sake of their keys."""
    held = sa.select(members.c.message).where(members.c.message == messages.c.id).exists()
    connection.execute(messages.delete().where(messages.c.origin == origin, ~held))


def _node(row: RowMapping, found: Sequence[Reply]) -> Node:
    names = ("id", "parent", "role", "content", "name", "created")
    return Node(**{name: row[name] for name in names}, replies=tuple(found))
