"""Words in messages, by SQLite's FTS5 or PostgreSQL's tsvector: no text that is asked for can be a query of theirs.

for one in found(connection, "blue sky"):
    print(one.title, "".join(f"[{text}]" if hit else text for text, hit in one.parts))
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from netwright.chat.history.schema import conversations, members, messages

MOST_WORDS = 32
LONGEST_WORD = 100
AROUND = 60
"""Characters of a message that are shown before and after what was found."""


@dataclass(frozen=True)
class Found:
    """A message that has the words. `parts` are texts around and in what was found, and which of them was."""

    conversation: str
    title: str
    message: str
    role: str
    created: float
    parts: tuple[tuple[str, bool], ...]


def found(connection: Connection, text: str, limit: int, skip: int = 0) -> list[Found]:
    """Messages that have all words, the last of which may be only begun; the newest first.

    A message that several conversations share stands in the one that was changed last. No word, nothing found.
    """
    words = [one[:LONGEST_WORD] for one in re.findall(r"\w+", text)][:MOST_WORDS]
    if not any(any(one.isalnum() for one in word) for word in words):
        return []
    query, asked = (_postgres if connection.dialect.name == "postgresql" else _sqlite)(words)
    asked |= {"most": limit + skip}
    last = sa.select(conversations.c.id).join(members, members.c.conversation == conversations.c.id)
    last = last.where(members.c.message == messages.c.id).order_by(conversations.c.changed.desc()).limit(1)
    wanted = sa.select(messages, last.scalar_subquery().label("conversation")).where(query)
    inner = wanted.order_by(messages.c.number.desc()).limit(limit).offset(skip).subquery()
    joined = sa.select(inner, conversations.c.title).join(conversations, conversations.c.id == inner.c.conversation)
    pattern = re.compile("|".join(re.escape(one) for one in sorted(words, key=len, reverse=True)), re.IGNORECASE)
    rows = connection.execute(joined.order_by(inner.c.number.desc()), asked).mappings()
    return [
        Found(r["conversation"], r["title"], r["id"], r["role"], r["created"], parts(r["content"], pattern))
        for r in rows
    ]


def parts(text: str, pattern: re.Pattern[str]) -> tuple[tuple[str, bool], ...]:
    """The text around the first hit, cut where hits begin and end; its beginning where there is none."""
    first = pattern.search(text)
    begin = max(0, first.start() - AROUND) if first else 0
    end = min(len(text), (first.end() if first else 0) + 2 * AROUND)
    cut: list[tuple[str, bool]] = [("…", False)] if begin else []
    for hit in pattern.finditer(text, begin, end):
        cut += [(text[begin : hit.start()], False), (hit[0], True)]
        begin = hit.end()
    cut += [(text[begin:end], False), ("…" if end < len(text) else "", False)]
    return tuple(
        (" ".join(one.split()) if len(one) > AROUND else one.replace("\n", " "), hit) for one, hit in cut if one
    )


def _sqlite(words: list[str]) -> tuple[Any, dict[str, Any]]:
    asked = " ".join(f'"{word}"' for word in words) + "*"
    # FTS5 walks its rows from the newest: of 10,000 hits it need not see more than are shown
    hits = "SELECT rowid FROM chat_words WHERE chat_words MATCH :asked ORDER BY rowid DESC LIMIT :most"
    return sa.text(f"chat_messages.number IN ({hits})"), {"asked": asked}


def _postgres(words: list[str]) -> tuple[Any, dict[str, Any]]:
    asked = " & ".join(f"'{word}'" for word in words) + ":*"
    return sa.text("chat_messages.words @@ to_tsquery('simple', :asked)"), {"asked": asked}
