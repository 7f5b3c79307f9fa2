"""How long a history of chats takes: search over many messages, opening a long chat, adding, streaming.

    python benchmarks/history.py [--messages 10000] [--postgres postgresql://USER@HOST/DATABASE]

A database is filled with conversations of 20 messages of 60 words each, drawn from 5,000 words as often as words are in
English (Zipf), and one chat of 500 messages. Each figure is the median of the repeats, in milliseconds, and their
slowest. It is searched for the commonest word, a rare one, two, and one that is only begun. On PostgreSQL the tables
are made in a schema of their own, which is dropped afterwards. The bar is 100 ms for a search.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from netwright.chat.history import About, History, bundle
from netwright.core import db

WORDS, LENGTH, TURNS, LONG = 5000, 60, 20, 500


def main() -> None:
    """Fill and measure each database, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--postgres", default="", help="a database to make a schema in; without it SQLite alone")
    args = parser.parse_args()
    rows: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.pop(db.VARIABLE, None)
        rows["SQLite"] = measured(Path(folder), args.messages, args.repeats)
        if args.postgres:
            rows["PostgreSQL"] = _on_server(args, Path(folder))
    print(f"| {args.messages:,} messages, median (slowest) of {args.repeats}, ms | {' | '.join(rows)} |")
    print("|---|" + "---|" * len(rows))
    for what in rows["SQLite"]:
        print(f"| {what} | {' | '.join(found[what] for found in rows.values())} |")
    print(f"\nload {os.getloadavg()[0]:.1f}")


def measured(runs: Path, count: int, repeats: int) -> dict[str, str]:
    """Every figure of one database."""
    with History.open(runs) as history:
        long = filled(history, count)
        found = {}
        queries = {"commonest word": "w1", "rare word": f"w{WORDS - 7}", "two words": "w3 w40", "begun word": "w12 w49"}
        for name, query in queries.items():
            hits = len(history.search(query, 1 << 30))
            found[f"search, {name}, {hits:,} hits, 20 shown"] = timed(lambda q=query: history.search(q), repeats)
        found["search, nothing found"] = timed(lambda: history.search("nowhere"), repeats)
        found[f"open a chat of {LONG} messages"] = timed(lambda: history.path(long), repeats)
        found["list 50 chats"] = timed(lambda: history.conversations(50), repeats)
        chat = history.new()
        found["add a message"] = timed(lambda: history.add(chat, "user", "a question " * 10), repeats)
        with history.begin(chat, About()) as reply:
            reply.write("word " * 400)
            found["write what has streamed, 2,000 characters"] = timed(reply.flush, repeats)
        found["fork it"] = timed(lambda: history.fork(long), repeats)
        found["verify all of it"] = timed(lambda: history.verify() and None, 3)
        return found


def filled(history: History, count: int) -> str:
    """Conversations of `count` messages in all; returns the long one."""
    draw = random.Random(0)
    weights = [1 / rank for rank in range(1, WORDS + 1)]
    made, long = bundle.Bundle(), ""
    while len(made.messages) < count:
        id, rows = uuid.UUID(int=draw.getrandbits(128)).hex, []
        for at in range(TURNS if long else LONG):
            text = " ".join(f"w{one + 1}" for one in draw.choices(range(WORDS), weights, k=LENGTH))
            role = "assistant" if at % 2 else "user"
            rows.append(bundle.message(id, rows[-1]["id"] if rows else None, role, text, float(at)))
        made.messages += rows
        made.conversations.append(bundle.conversation(id, rows, rows[-1]["id"], changed=draw.random()))
        long = long or id
    bundle.restore(history, made)
    return long


def timed(act: Callable[[], object], repeats: int) -> str:
    """Median and slowest in milliseconds, after one that does not count."""
    act()
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        act()
        taken.append(1e3 * (time.perf_counter() - begin))
    return f"{statistics.median(taken):.1f} ({max(taken):.1f})"


def _on_server(args: argparse.Namespace, folder: Path) -> dict[str, str]:
    url = sa.make_url(args.postgres).set(drivername="postgresql+psycopg")
    schema = f"bench_{uuid.uuid4().hex}"
    server = sa.create_engine(url)
    with server.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    try:
        own = url.update_query_dict({"options": f"-csearch_path={schema}"})
        os.environ[db.VARIABLE] = own.render_as_string(hide_password=False)
        return measured(folder, args.messages, args.repeats)
    finally:
        with server.begin() as connection:
            connection.execute(sa.schema.DropSchema(schema, cascade=True))


if __name__ == "__main__":
    main()
