"""The tables of chats, and the list of steps that make them in SQLite and in PostgreSQL.

    engine = schema.opened(Path("runs"))

A message is stored once, under its hash; a conversation points at the message it stands at, its tip. `chat_members`
says which messages a conversation reaches, so that a fork shares them, and what nobody reaches can go. A reply is what
a model did once: while it streams it has a text, afterwards the message that the text became.
"""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from netwright.core import db
from netwright.core.error import UserError

FILE = "chats.db"
LOCK = 1667785076
"""Whoever changes the tree in PostgreSQL holds this advisory lock: "chat" in ASCII. SQLite has one writer anyway."""

schema = sa.MetaData()
messages = sa.Table(
    "chat_messages",
    schema,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("id", sa.String, nullable=False, unique=True),
    sa.Column("origin", sa.String, nullable=False, index=True),
    sa.Column("parent", sa.ForeignKey("chat_messages.id"), index=True),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)
conversations = sa.Table(
    "chat_conversations",
    schema,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("origin", sa.String, nullable=False),
    sa.Column("tip", sa.ForeignKey("chat_messages.id")),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("named", sa.Boolean, nullable=False),
    sa.Column("system", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("changed", sa.Double, nullable=False, index=True),
)
members = sa.Table(
    "chat_members",
    schema,
    sa.Column("conversation", sa.ForeignKey("chat_conversations.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("message", sa.ForeignKey("chat_messages.id"), primary_key=True, index=True),
)
tags = sa.Table(
    "chat_tags",
    schema,
    sa.Column("conversation", sa.ForeignKey("chat_conversations.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("tag", sa.String, primary_key=True, index=True),
)
replies = sa.Table(
    "chat_replies",
    schema,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("message", sa.ForeignKey("chat_messages.id", ondelete="CASCADE"), index=True),
    # only while it streams: where it will stand, whose reply it is, what there is of it, and who streams
    sa.Column("parent", sa.ForeignKey("chat_messages.id", ondelete="CASCADE")),
    sa.Column("conversation", sa.ForeignKey("chat_conversations.id", ondelete="CASCADE")),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("beat", sa.Double, nullable=False),
    # for good: what answered, how it was told to, and how that went
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("artifact", sa.String, nullable=False),
    sa.Column("template", sa.String, nullable=False),
    sa.Column("system", sa.Text, nullable=False),
    sa.Column("sampling", sa.JSON, nullable=False),
    sa.Column("seed", sa.BigInteger),
    sa.Column("precision", sa.String, nullable=False),
    sa.Column("engine", sa.String, nullable=False),
    sa.Column("threads", sa.Integer),
    sa.Column("statistics", sa.JSON, nullable=False),
    sa.Column("finish", sa.String, nullable=False, index=True),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("ended", sa.Double),
    # what a person says of it
    sa.Column("thumb", sa.SmallInteger, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)

FIRST = """
CREATE TABLE chat_messages (number {number}, id VARCHAR NOT NULL UNIQUE, origin VARCHAR NOT NULL,
  parent VARCHAR REFERENCES chat_messages (id), role VARCHAR NOT NULL, name VARCHAR NOT NULL, content TEXT NOT NULL,
  created {double} NOT NULL);
CREATE INDEX ix_chat_messages_origin ON chat_messages (origin);
CREATE INDEX ix_chat_messages_parent ON chat_messages (parent);
CREATE TABLE chat_conversations (id VARCHAR NOT NULL PRIMARY KEY, origin VARCHAR NOT NULL,
  tip VARCHAR REFERENCES chat_messages (id), title TEXT NOT NULL, named BOOLEAN NOT NULL, system TEXT NOT NULL,
  model TEXT NOT NULL, pinned BOOLEAN NOT NULL, created {double} NOT NULL, changed {double} NOT NULL);
CREATE INDEX ix_chat_conversations_changed ON chat_conversations (changed);
CREATE TABLE chat_members (conversation VARCHAR NOT NULL REFERENCES chat_conversations (id) ON DELETE CASCADE,
  message VARCHAR NOT NULL REFERENCES chat_messages (id), PRIMARY KEY (conversation, message));
CREATE INDEX ix_chat_members_message ON chat_members (message);
CREATE TABLE chat_tags (conversation VARCHAR NOT NULL REFERENCES chat_conversations (id) ON DELETE CASCADE,
  tag VARCHAR NOT NULL, PRIMARY KEY (conversation, tag));
CREATE INDEX ix_chat_tags_tag ON chat_tags (tag);
CREATE TABLE chat_replies (id VARCHAR NOT NULL PRIMARY KEY,
  message VARCHAR REFERENCES chat_messages (id) ON DELETE CASCADE,
  parent VARCHAR REFERENCES chat_messages (id) ON DELETE CASCADE,
  conversation VARCHAR REFERENCES chat_conversations (id) ON DELETE CASCADE,
  text TEXT NOT NULL, owner VARCHAR NOT NULL, beat {double} NOT NULL, model TEXT NOT NULL,
  artifact VARCHAR NOT NULL, template VARCHAR NOT NULL, system TEXT NOT NULL, sampling JSON NOT NULL, seed BIGINT,
  precision VARCHAR NOT NULL, engine VARCHAR NOT NULL, threads INTEGER, statistics JSON NOT NULL,
  finish VARCHAR NOT NULL, created {double} NOT NULL, ended {double}, thumb SMALLINT NOT NULL,
  note TEXT NOT NULL, CHECK ((message IS NULL) = (finish = 'streaming')));
CREATE INDEX ix_chat_replies_message ON chat_replies (message);
CREATE INDEX ix_chat_replies_finish ON chat_replies (finish)
"""
WORDS = {
    "sqlite": """
CREATE VIRTUAL TABLE chat_words USING fts5 (content, content='chat_messages', content_rowid='number',
  tokenize='unicode61 remove_diacritics 2', prefix='2 3');
CREATE TRIGGER chat_words_added AFTER INSERT ON chat_messages BEGIN
  INSERT INTO chat_words (rowid, content) VALUES (new.number, new.content)| END;
CREATE TRIGGER chat_words_gone AFTER DELETE ON chat_messages BEGIN
  INSERT INTO chat_words (chat_words, rowid, content) VALUES ('delete', old.number, old.content)| END
""",
    # a tsvector holds 1 MiB: of a longer message its beginning is found
    "postgresql": """
ALTER TABLE chat_messages ADD COLUMN words tsvector
  GENERATED ALWAYS AS (to_tsvector('simple'::regconfig, left(content, 100000))) STORED;
CREATE INDEX ix_chat_messages_words ON chat_messages USING gin (words)
""",
}
TYPES = {
    "sqlite": {"number": "INTEGER NOT NULL PRIMARY KEY", "double": "DOUBLE"},
    "postgresql": {
        "number": "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "double": "DOUBLE PRECISION",
    },
}  # fmt: skip


def first(connection: Connection) -> None:
    """All tables, and the index of words."""
    kind = connection.dialect.name
    for statement in (FIRST.format(**TYPES[kind]) + ";" + WORDS[kind]).split(";"):
        connection.exec_driver_sql(statement.replace("|", ";"))


MIGRATIONS = (first,)
"""Each takes a database from the version of its place to the next. A step that was published stays as it is."""


def opened(runs: Path | None) -> Engine:
    """The database of chats of a folder of runs, made and migrated where needed; without a folder, in memory.

    Raises UserError where it cannot be used, or a newer netwright wrote it.
    """
    file = runs / FILE if runs else None
    engine = db.connected(file, synchronous="FULL")
    try:
        if file and engine.url.drivername == "sqlite" and not file.exists():
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))  # what people say is theirs
        with db.looking(engine) as connection:
            found = _version(connection)
        if found != len(MIGRATIONS):
            with db.writing(engine) as connection:
                lock(connection)
                _migrate(connection)
    except OSError as fault:
        engine.dispose()
        raise UserError("runs", str(runs), f"cannot be written: {fault.strerror}", "set runs=FOLDER") from None
    except UserError:
        engine.dispose()
        raise
    return engine


def lock(connection: Connection) -> None:
    """Be the only one that changes the tree, until this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


def _version(connection: Connection) -> int:
    if not sa.inspect(connection).has_table("chat_version"):
        return 0
    return int(connection.scalar(sa.text("SELECT version FROM chat_version")) or 0)


def _migrate(connection: Connection) -> None:
    found = _version(connection)
    if found > len(MIGRATIONS):
        known = f"version {len(MIGRATIONS)} at most: a newer netwright wrote it"
        raise UserError("chats", f"version {found}", known, "update netwright")
    for step in MIGRATIONS[found:]:
        step(connection)
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS chat_version (version INTEGER NOT NULL)")
    connection.exec_driver_sql("DELETE FROM chat_version")
    connection.execute(sa.text("INSERT INTO chat_version VALUES (:version)"), {"version": len(MIGRATIONS)})
