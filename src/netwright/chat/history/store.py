"""A history of chats: conversations that fork, are edited and searched, kept in SQL as they are said.

    history = History.open(Path("runs"))
    chat = history.new(system="Be brief.")
    history.add(chat, "user", "Why is the sky blue?")
    with history.begin(chat, About(model="smollm2-135m-instruct")) as reply:
        reply.write("Because ")
        reply.finish("stop")
    [node.content for node in history.path(chat)]

What returns has been committed. Nothing is overwritten: an edit is a sibling, and only `delete` and `delete_branch`
take something away. Several threads and processes may use one database. This file knows no terminal, page or format.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from netwright.chat.history import nodes, rows, schema, search, streaming
from netwright.chat.history.nodes import About, Conversation, Node
from netwright.chat.history.schema import conversations, members, messages, replies, tags
from netwright.chat.history.search import Found
from netwright.chat.history.streaming import Streaming
from netwright.core import db
from netwright.core.error import UserError

TIP = "tip"
"""Where a conversation stands."""
PAGE = 50


class History:
    """Conversations in a database. `open` is the way to one."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, runs: Path | None) -> History:
        """The chats of a folder of runs, `chats.db` or NETWRIGHT_DATABASE_URL; without a folder, only in memory.

        Replies that a process left when it died become "interrupted". Raises UserError as `core.db.engine` does.
        """
        history = cls(schema.opened(runs))
        try:
            history.settle()
        except BaseException:
            history.close()
            raise
        return history

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def __enter__(self) -> History:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    # conversations

    def new(self, system: str = "", title: str = "", model: str = "") -> str:
        """Begin a conversation; returns its id."""
        id, now = uuid.uuid4().hex, time.time()
        row: dict[str, Any] = {"id": id, "origin": uuid.uuid4().hex, "tip": None}
        row |= {
            "title": nodes.title(title) if title else nodes.UNTITLED,
            "named": bool(title),
            "model": nodes.sound(model),
            "pinned": False,
        }
        row["system"] = nodes.checked("system", system)
        with db.writing(self.engine) as connection:
            connection.execute(conversations.insert(), {**row, "created": now, "changed": now})
        return id

    def conversations(self, limit: int = PAGE, skip: int = 0, tag: str = "") -> list[Conversation]:
        """Pinned ones first, then those that were changed last."""
        order = (conversations.c.pinned.desc(), conversations.c.changed.desc(), conversations.c.id)
        query = sa.select(conversations).order_by(*order).limit(limit).offset(skip)
        if tag:
            tagged = sa.select(tags.c.conversation).where(tags.c.tag == nodes.sound(tag).lower())
            query = query.where(conversations.c.id.in_(tagged))
        with db.looking(self.engine) as connection:
            return rows.listed(connection, query)

    def conversation(self, id: str) -> Conversation:
        """What is known of one. Raises UserError where there is none."""
        with db.looking(self.engine) as connection:
            rows.conversation(connection, id)
            return rows.listed(connection, sa.select(conversations).where(conversations.c.id == id))[0]

    def find(self, beginning: str) -> str:
        """The id that begins so. Raises UserError where none does, or several do."""
        begins = conversations.c.id.startswith(nodes.sound(beginning), autoescape=True)
        with db.looking(self.engine) as connection:
            found = list(connection.scalars(sa.select(conversations.c.id).where(begins).limit(9))) if beginning else []
        if beginning in found:
            return beginning
        if len(found) > 1:
            raise UserError("conversation", beginning, "one of " + ", ".join(found), "give more of its id")
        if not found:
            raise UserError("conversation", beginning, "no such conversation", rows.NEXT)
        return str(found[0])

    def last(self) -> str | None:
        """The one that was changed last."""
        with db.looking(self.engine) as connection:
            return connection.scalar(sa.select(conversations.c.id).order_by(conversations.c.changed.desc()).limit(1))

    def rename(self, id: str, title: str) -> None:
        """Give a conversation a title; an empty one lets the first words be its title again."""
        with self._changing() as connection:
            rows.conversation(connection, id)
            if title.strip():
                self._set(connection, id, title=nodes.title(title), named=True)
            else:
                first = nodes.path(rows.reached(connection, id), rows.conversation(connection, id)["tip"])[:1]
                self._set(connection, id, title=nodes.title_of(first[0].content if first else ""), named=False)

    def pin(self, id: str, pinned: bool = True) -> None:
        """Keep a conversation on top of the list, or not."""
        with self._changing() as connection:
            self._set(connection, id, pinned=pinned)

    def tag(self, id: str, tag: str) -> None:
        """Add a tag."""
        with self._changing() as connection:
            rows.conversation(connection, id)
            rows.insert_new(connection, tags, [{"conversation": id, "tag": nodes.tag(tag)}])

    def untag(self, id: str, tag: str) -> None:
        """Take a tag away. Raises UserError where it is not there."""
        with self._changing() as connection:
            rows.conversation(connection, id)
            gone = connection.execute(tags.delete().where(tags.c.conversation == id, tags.c.tag == nodes.tag(tag)))
            if not gone.rowcount:
                raise UserError("tag", tag, "no tag of this conversation", rows.NEXT)

    def tags(self) -> dict[str, int]:
        """All tags, and how many conversations bear each."""
        query = sa.select(tags.c.tag, sa.func.count()).group_by(tags.c.tag).order_by(tags.c.tag)
        with db.looking(self.engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def tell(self, id: str, *, system: str | None = None, model: str | None = None) -> None:
        """What the model is told beforehand from now on, and which model it is."""
        told = {"system": None if system is None else nodes.checked("system", system)}
        told["model"] = None if model is None else nodes.sound(model)
        with self._changing() as connection:
            self._set(connection, id, **{name: value for name, value in told.items() if value is not None})

    def delete(self, id: str) -> None:
        """Delete a conversation, and the messages that no other one reaches."""
        with self._changing() as connection:
            found = rows.conversation(connection, id)
            connection.execute(conversations.delete().where(conversations.c.id == id))
            rows.sweep(connection, found["origin"])

    # messages

    def add(self, id: str, role: str, content: str, after: str | None = TIP, name: str = "") -> str:
        """Add a message after the tip, or `after` another, or first (None); the conversation stands there then.

        Returns the message's id. Raises UserError for a role or text that is none, and an unknown place.
        """
        if role not in nodes.ROLES:
            raise UserError("role", role, "one of " + ", ".join(nodes.ROLES), "user")
        nodes.checked("message", content)
        nodes.checked("name", name)
        with self._changing() as connection:
            found = rows.conversation(connection, id)
            parent = found["tip"] if after == TIP else after
            if after not in (None, TIP):
                rows.member(connection, id, str(parent))
            message = rows.put(connection, found, parent, role, content, name)
            first = parent is None and role == "user" and not found["named"]
            rows.move(connection, id, message, **({"title": nodes.title_of(content)} if first else {}))
        return message

    def path(self, id: str) -> list[Node]:
        """The messages from the first to the tip."""
        with db.looking(self.engine) as connection:
            tip = rows.conversation(connection, id)["tip"]
            return rows.with_replies(connection, nodes.path(rows.reached(connection, id), tip))

    def nodes(self, id: str) -> list[Node]:
        """All messages that a conversation reaches, parents before children."""
        with db.looking(self.engine) as connection:
            rows.conversation(connection, id)
            return rows.with_replies(connection, rows.reached(connection, id))

    def edit(self, id: str, message: str, content: str) -> str:
        """Say a message differently: a sibling, at which the conversation stands then. Returns its id."""
        with db.looking(self.engine) as connection:
            found = rows.member(connection, id, message)
        return self.add(id, found["role"], content, found["parent"], found["name"])

    def fork(self, id: str, message: str | None = TIP, title: str = "") -> str:
        """Another conversation that shares the messages up to this one; returns its id."""
        new, now = uuid.uuid4().hex, time.time()
        with self._changing() as connection:
            found = rows.conversation(connection, id)
            tip = found["tip"] if message == TIP else message
            if tip is not None:
                rows.member(connection, id, tip)
            shared = nodes.path(rows.reached(connection, id), tip)
            named = {"title": nodes.title(title) if title else found["title"], "named": bool(title) or found["named"]}
            one = {**found, "id": new, "tip": tip, "pinned": False, "created": now, "changed": now, **named}
            connection.execute(conversations.insert(), one)
            rows.insert_new(connection, members, [{"conversation": new, "message": node.id} for node in shared])
        return new

    def move(self, id: str, message: str | None) -> None:
        """Stand at a message, or before the first one; what follows stays where it is."""
        with self._changing() as connection:
            rows.conversation(connection, id)
            if message is not None:
                rows.member(connection, id, message)
            rows.move(connection, id, message)

    def switch(self, id: str, message: str) -> str:
        """Stand at the newest end of the branch that a message begins; returns the tip."""
        with self._changing() as connection:
            rows.member(connection, id, message)
            tip = nodes.leaf(rows.reached(connection, id), message)
            rows.move(connection, id, tip)
        return tip

    def step(self, id: str, message: str, by: int) -> str:
        """Switch to the sibling so many places on, around the end; returns the tip."""
        with db.looking(self.engine) as connection:
            parent = rows.member(connection, id, message)["parent"]
            beside = [one.id for one in rows.reached(connection, id) if one.parent == parent]
        return self.switch(id, beside[(beside.index(message) + by) % len(beside)])

    def delete_branch(self, id: str, message: str) -> str | None:
        """Delete a message and all that follows it, here; forks keep what they share. Returns the tip.

        Where the tip goes too, the conversation stands at the newest sibling's end, else at the message before.
        """
        with self._changing() as connection:
            found, of = rows.member(connection, id, message), rows.conversation(connection, id)
            all = rows.reached(connection, id)
            gone = set(nodes.subtree(all, message))
            left = [one for one in all if one.id not in gone]
            tip: str | None = of["tip"]
            if tip in gone:
                beside = [one.id for one in left if one.parent == found["parent"]]
                tip = nodes.leaf(left, beside[-1]) if beside else found["parent"]
            rows.move(connection, id, tip)
            rows.leave(connection, id, gone)
            rows.sweep(connection, of["origin"])
        return tip

    # replies

    def begin(self, id: str, about: About, to: str = TIP) -> Streaming:
        """Begin a reply after the tip, or to another message; the conversation stands there until the reply ends.

        Another reply to the same message is a regeneration: a sibling. Raises UserError where nothing was said.
        """
        with self._changing() as connection:
            found = rows.conversation(connection, id)
            parent = found["tip"] if to == TIP else to
            if parent is None:
                raise UserError("reply", "nothing was said", "a message first", "add one")
            rows.member(connection, id, parent)
            rows.move(connection, id, parent, **({"model": nodes.sound(about.model)} if about.model else {}))
            return streaming.begun(self.engine, connection, id, parent, about)

    def rate(self, id: str, message: str, thumb: int, note: str = "") -> None:
        """Say of the newest reply that said a message that it is good (1), bad (-1), or neither (0)."""
        if thumb not in (-1, 0, 1):
            raise UserError("thumb", thumb, "1, 0 or -1", "1")
        nodes.checked("note", note)
        with self._changing() as connection:
            if rows.member(connection, id, message)["role"] != "assistant":
                raise UserError("message", message[:8], "a reply", "rate a reply")
            newest = sa.select(replies.c.id).where(replies.c.message == message)
            found = connection.scalar(newest.order_by(replies.c.created.desc(), replies.c.id.desc()).limit(1))
            if found is None:  # imported, or written by a person: nothing is known of it but this
                found = uuid.uuid4().hex
                connection.execute(replies.insert(), streaming.row(found, About(), message=message, finish=""))
            said = {"thumb": thumb, "note": note}
            connection.execute(replies.update().where(replies.c.id == found).values(said))

    def settle(self) -> int:
        """Make "interrupted" of the replies that dead processes left; returns how many. `open` does it, too."""
        return streaming.settle(self.engine)

    # all of it

    def search(self, text: str, limit: int = 20, skip: int = 0) -> list[Found]:
        """Messages that have all these words, the last of which may be only begun; the newest first."""
        with db.looking(self.engine) as connection:
            return search.found(connection, text, limit, skip)

    def verify(self) -> list[str]:
        """What is wrong: every hash is derived again, every link followed. Empty where all is well."""
        wrong: list[str] = []
        with db.looking(self.engine) as connection:
            if connection.dialect.name == "sqlite":
                told = list(connection.scalars(sa.text("PRAGMA integrity_check")))
                wrong += [f"the database: {one}" for one in told if one != "ok"]
            seen: dict[str, str] = {}
            for row in connection.execute(sa.select(messages).order_by(messages.c.number)).mappings():
                if row["id"] != nodes.digest(*(row[name] for name in ("parent", "origin", "role", "content", "name"))):
                    wrong.append(f"message {row['id']}: its text has another hash")
                if row["parent"] is not None and seen.get(row["parent"]) != row["origin"]:
                    wrong.append(f"message {row['id']}: what it follows is not there")
                seen[row["id"]] = row["origin"]
            wrong += _unreached(connection, seen)
        return wrong

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Connection]:
        with db.writing(self.engine) as connection:
            schema.lock(connection)
            yield connection

    def _set(self, connection: Connection, id: str, **values: Any) -> None:
        rows.conversation(connection, id)
        connection.execute(conversations.update().where(conversations.c.id == id).values(values))


def _unreached(connection: Connection, seen: dict[str, str]) -> list[str]:
    """What is wrong with the conversations over messages whose trees are known."""
    wrong, held = [], set()
    for of in connection.execute(sa.select(conversations)).mappings().all():
        query = sa.select(messages.c.id, messages.c.parent).join(members, members.c.message == messages.c.id)
        mine = {row.id: row.parent for row in connection.execute(query.where(members.c.conversation == of["id"]))}
        held |= set(mine)
        loose = [id for id, parent in mine.items() if (parent and parent not in mine) or seen[id] != of["origin"]]
        wrong += [f"conversation {of['id']}: message {id} is in another tree" for id in loose]
        if of["tip"] is not None and of["tip"] not in mine:
            wrong.append(f"conversation {of['id']}: it stands at a message that it does not reach")
    return wrong + [f"message {id}: no conversation reaches it" for id in seen if id not in held]
