"""A reply that is kept while it streams, and what becomes of it when the process that streamed it dies.

    with history.begin(chat, about) as reply:
        for piece in engine.stream(prompt):
            reply.write(piece.text)
        reply.finish("stop", statistics)

The text so far is written at most every quarter of a second, so that a crash costs no more than that. A process is
named by machine, number and start; where another machine shares the database, a reply that was not written to for ten
minutes counts as left. That may be wrong, and does no harm: the reply is put right when it ends.
"""

from __future__ import annotations

import functools
import os
import platform
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, RowMapping

from netwright.chat.history import nodes, rows, schema
from netwright.chat.history.nodes import About
from netwright.chat.history.rows import STREAMING
from netwright.chat.history.schema import conversations, messages, replies
from netwright.core import db
from netwright.core.error import UserError

EVERY_S = 0.25
STALE_S = 600.0
INTERRUPTED = "interrupted"
CUT = ("cancelled", INTERRUPTED)
"""How a reply ends that was not to end there."""


class Streaming:
    """A reply on its way. As a context it becomes "interrupted" where it is left without `finish`."""

    def __init__(
        self, engine: Engine, id: str, conversation: str, parent: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.id, self.conversation, self.parent = id, conversation, parent
        self.fault: UserError | None = None
        """Why the text so far could not be written; it is tried again with the next."""
        self.message: str | None = None
        """The message that it became."""
        self._engine, self._clock, self._last = engine, clock, clock()
        self._parts: list[str] = []
        self._ending: tuple[str, Mapping[str, Any], bool] = (INTERRUPTED, {}, False)

    def __enter__(self) -> Streaming:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            self.mend()
        except UserError:
            if kind is None:
                raise

    def mend(self) -> None:
        """End as it was to end, where that failed or was never asked for. Raises UserError as `finish` does."""
        if self.message is None:
            self._end(*self._ending)

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._parts)

    def write(self, text: str) -> None:
        """Go on; kept within a quarter of a second, where more is written by then. Does not raise: see `fault`."""
        if text:
            self._parts.append(nodes.sound(text))
        if self._clock() - self._last >= EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Keep the text so far. A database that is away is tried again with the next text."""
        mine = sa.and_(replies.c.id == self.id, replies.c.finish == STREAMING)
        self._parts = [self.text]
        try:
            with db.writing(self._engine) as connection:
                connection.execute(replies.update().where(mine).values(text=self._parts[0], beat=time.time()))
            self.fault = None
        except UserError as refusal:
            self.fault = refusal
        self._last = self._clock()

    def finish(self, finish: str, statistics: Mapping[str, Any] | None = None) -> str | None:
        """Make a message of the text, at which the conversation stands then; returns its id.

        A reply that was cut before it said anything leaves nothing: None. Raises UserError where the conversation was
        deleted meanwhile, or the database is away; then it may be tried again, and nothing is lost.
        """
        self._ending = (finish, statistics or {}, finish not in CUT)
        return self._end(*self._ending)

    def _end(self, finish: str, statistics: Mapping[str, Any], keep_empty: bool) -> str | None:
        with db.writing(self._engine) as connection:
            schema.lock(connection)
            row = connection.execute(sa.select(replies).where(replies.c.id == self.id)).mappings().first()
            if row is None:
                gone = "it was deleted while the reply was on its way"
                raise UserError("conversation", self.conversation[:8], gone, rows.NEXT)
            partial = row["message"]
            made = _ended(connection, row, self.conversation, self.parent, self.text, finish, statistics, keep_empty)
            if made and partial and partial != made:
                _drop(connection, self.conversation, partial, made)
        self.message = made
        return made


def begun(engine: Engine, connection: Connection, conversation: str, parent: str, about: About) -> Streaming:
    """Write that a reply begins; within the caller's transaction."""
    id = uuid.uuid4().hex
    place = {"conversation": conversation, "parent": parent, "owner": here(), "beat": time.time()}
    connection.execute(replies.insert(), row(id, about, **place))
    return Streaming(engine, id, conversation, parent)


def row(id: str, about: About, **place: Any) -> dict[str, Any]:
    """A row of replies, without what is not known yet."""
    told = {name: nodes.plain(getattr(about, name)) for name in About.__dataclass_fields__}
    told["seed"] = about.seed if told["seed"] == about.seed else None  # of more than 64 bits: it stands in `sampling`
    empty: dict[str, Any] = {"message": None, "parent": None, "conversation": None, "text": "", "owner": ""}
    empty |= {"beat": 0.0, "statistics": {}, "finish": STREAMING, "created": time.time(), "ended": None}
    empty |= {"thumb": 0, "note": ""}
    return {"id": id, **empty, **told, **place}


def settle(engine: Engine) -> int:
    """Make "interrupted" of the replies whose processes are dead; returns how many. Empty ones leave nothing."""
    with db.looking(engine) as connection:
        if not any(not alive(one) for one in _streaming(connection)):
            return 0
    with db.writing(engine) as connection:
        schema.lock(connection)
        dead = [one for one in _streaming(connection) if not alive(one)]
        for one in dead:
            _ended(connection, one, one["conversation"], one["parent"], one["text"], INTERRUPTED, {}, False)
    return len(dead)


def alive(one: Any) -> bool:
    """Whether the process that streams a reply, a row, still does."""
    machine, _, process = str(one["owner"]).rpartition(" ")
    if machine != _machine():
        return time.time() - float(one["beat"]) < STALE_S
    number, _, start = process.partition("@")
    try:
        found = psutil.Process(int(number))
        same = abs(found.create_time() - float(start)) < 2
        return bool(same and found.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError):
        return False


def here() -> str:
    """This process: machine, number, start."""
    return f"{_machine()} {os.getpid()}@{psutil.Process().create_time():.2f}"


@functools.cache
def _machine() -> str:
    """What tells this machine since its start, and its processes' numbers, from others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{platform.node()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{platform.node()} {psutil.boot_time():.0f}"


def _streaming(connection: Connection) -> list[RowMapping]:
    return list(connection.execute(sa.select(replies).where(replies.c.finish == STREAMING)).mappings().all())


def _ended(
    connection: Connection, one: RowMapping, conversation: str, parent: str, text: str, finish: str,
    statistics: Mapping[str, Any], keep_empty: bool,
) -> str | None:  # fmt: skip
    """Make a message of a reply's text. The tip follows, unless the person went elsewhere."""
    mine = replies.c.id == one["id"]
    if not text and not keep_empty:
        connection.execute(replies.delete().where(mine, replies.c.message.is_(None)))
        return None
    of = rows.conversation(connection, conversation)
    rows.member(connection, conversation, parent)
    made = rows.put(connection, of, parent, "assistant", text)
    place = {"message": made, "parent": None, "conversation": None, "text": "", "owner": ""}
    ended = {"finish": finish, "statistics": nodes.plain(statistics), "ended": time.time()}
    connection.execute(replies.update().where(mine).values({**place, **ended}))
    if of["tip"] in (parent, one["message"]):
        rows.move(connection, conversation, made)
    return made


def _drop(connection: Connection, conversation: str, partial: str, whole: str) -> None:
    """Take away what was thought to be all of a reply, unless something was made of it."""
    used = sa.union_all(
        sa.select(messages.c.id).where(messages.c.parent == partial),
        sa.select(replies.c.id).where(replies.c.message == partial),
        sa.select(conversations.c.id).where(conversations.c.tip == partial),
    )
    if connection.execute(used.limit(1)).first() is None:
        rows.leave(connection, conversation, [partial])
        rows.sweep(connection, rows.conversation(connection, conversation)["origin"])
