"""What a history acknowledged is there after a kill, on a full disk, and when its server was away."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import sqlalchemy as sa

from netwright.chat.history import About, History, bundle, reading, streaming
from netwright.core import db
from netwright.core.error import UserError

CHILD = """
import itertools, sys
from pathlib import Path
from netwright.chat.history import About, History, streaming
streaming.EVERY_S = 0.0
with History.open(Path(sys.argv[1])) as history:
    chat = history.new()
    print("chat", chat, flush=True)
    for at in itertools.count():
        print("message", chat, history.add(chat, "user", f"question {at}"), flush=True)
        with history.begin(chat, About(model="m")) as reply:
            for word in range(5):
                reply.write(f"word {word} ")
                print("text", chat, reply.id, len(reply.text), flush=True)
            print("message", chat, reply.finish("stop"), flush=True)
        if at % 3 == 2:
            print("chat", history.fork(chat), flush=True)
            print("message", chat, history.edit(chat, history.path(chat)[0].id, f"edited {at}"), flush=True)
"""


def killed(runs, delay, seen):
    """Start a child that talks, kill it `delay` seconds after its first word, add what it acknowledged."""
    command = [sys.executable, "-c", CHILD, str(runs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as child:
        lines = [child.stdout.readline()]
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    assert child.returncode == -signal.SIGKILL
    for line in lines:
        kind, *rest = line.split() if line.endswith("\n") else ("",)
        if kind == "chat":
            seen["chats"].add(rest[0])
        elif kind == "message":
            seen["messages"].setdefault(rest[0], set()).add(rest[1])
        elif kind == "text":
            seen["texts"][rest[1]] = (rest[0], int(rest[2]))


def check(runs, kills):
    moments, seen = random.Random(0), {"chats": set(), "messages": {}, "texts": {}}
    for _ in range(kills):
        killed(runs, moments.uniform(0, 0.4), seen)
        with History.open(runs) as history:
            assert history.verify() == []
    assert len(seen["chats"]) >= kills
    interrupted = 0
    with History.open(runs) as history:
        assert {one.id for one in history.conversations(1 << 30)} >= seen["chats"]
        for chat in seen["chats"]:
            found = history.nodes(chat)
            assert {one.id for one in found} >= seen["messages"].get(chat, set())
            texts = {reply.id: (one.content, reply.finish) for one in found for reply in one.replies}
            for reply, (of, length) in seen["texts"].items():
                if of == chat:
                    content, finish = texts[reply]
                    assert len(content) >= length
                    assert finish in ("stop", "interrupted")
                    interrupted += finish == "interrupted"
            assert history.path(chat)
        with history.engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM chat_replies WHERE finish = 'streaming'")) == 0
        assert len(history.search("question", 1000)) > 0
    return interrupted


@pytest.fixture
def sqlite(tmp_path, monkeypatch):
    monkeypatch.delenv(db.VARIABLE, raising=False)
    return tmp_path / "runs"


@pytest.fixture
def postgres(tmp_path, monkeypatch, postgres_url):
    monkeypatch.setenv(db.VARIABLE, postgres_url)
    return tmp_path / "runs"


def test_ten_kills_lose_nothing_that_was_acknowledged(sqlite):
    assert check(sqlite, 10) > 0  # some of them in the middle of a reply


def test_kills_over_postgresql(postgres):
    check(postgres, 3)


@pytest.mark.slow
def test_fifty_kills_lose_nothing_that_was_acknowledged(sqlite):
    assert check(sqlite, 50) > 0


def test_a_full_disk_is_told_and_nothing_is_lost(sqlite, tmp_path):
    """SQLite is told that its file may not grow; then it may again."""
    with History.open(sqlite) as history:
        chat = history.new()
        history.add(chat, "user", "before")

        def grow(pages):
            history.engine.dispose()

            @sa.event.listens_for(history.engine, "connect")
            def limit(connection, record):
                connection.execute(f"PRAGMA max_page_count = {pages}").close()

        with history.engine.connect() as connection:
            used = connection.scalar(sa.text("PRAGMA page_count"))
        grow(used + 20)
        reply, kept = history.begin(chat, About()), 0

        def fill():
            nonlocal kept
            for _ in range(1000):
                history.add(chat, "user", f"{kept} " + "x" * 3000)
                kept += 1

        with pytest.raises(UserError, match=r"disk is full.*free space"):
            fill()
        assert 2 < kept < 1000
        assert len(history.path(chat)) == kept + 1
        assert history.verify() == []
        big = json.dumps([{"messages": [{"role": "user", "content": "y" * 200_000}]}])
        with pytest.raises(UserError, match="disk is full"):
            bundle.restore(history, reading.parsed(big.encode()))
        assert len(history.conversations()) == 1
        reply.write("z" * 200_000)
        reply.flush()
        assert reply.fault is not None
        with pytest.raises(UserError, match="disk is full"):
            reply.finish("stop")
        grow(1 << 30)
        made = reply.finish("stop")
        assert {one.id: one.content for one in history.nodes(chat)}[made] == "z" * 200_000
        history.add(chat, "user", "after")
        assert [one.content for one in history.path(chat)][:1] == ["before"]
        assert history.verify() == []


LIMITED = """
import resource, signal, sys
from pathlib import Path
from netwright import cli
from netwright.chat.history import History
from netwright.core.error import UserError
with History.open(Path(sys.argv[1])) as history:
    chat = history.new()
    history.add(chat, "user", "before")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    kept = 1
    try:
        while kept < 1000:
            history.add(chat, "user", "x" * 3000)
            kept += 1
    except UserError as refusal:
        print(refusal, file=sys.stderr)
    print(kept, len(history.path(chat)), chat, flush=True)
"""


def test_files_that_may_not_grow(sqlite):
    ended = subprocess.run([sys.executable, "-c", LIMITED, str(sqlite)], capture_output=True, text=True, check=True)
    kept, there, chat = ended.stdout.split()
    assert int(kept) == int(there) < 1000
    assert "cannot be used" in ended.stderr
    with History.open(sqlite) as history:
        assert len(history.path(chat)) == int(kept)
        assert history.verify() == []


def cut_off(url):
    """Terminate every other connection of this schema's database user that is a history's."""
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        return connection.scalar(
            sa.text(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND application_name = :name"
            ),
            {"name": "history-test"},
        )


def test_a_server_that_cuts_off_is_asked_again(tmp_path, monkeypatch, postgres_url):
    url = sa.make_url(postgres_url).update_query_dict({"application_name": "history-test"}).render_as_string(False)
    monkeypatch.setenv(db.VARIABLE, url)
    monkeypatch.setattr(streaming, "EVERY_S", 0.0)
    with History.open(tmp_path) as history:
        chat = history.new()
        history.add(chat, "user", "hi")
        assert cut_off(postgres_url) >= 1
        history.add(chat, "user", "still there?")
        with history.begin(chat, About()) as reply:
            reply.write("one ")
            assert cut_off(postgres_url) >= 1
            reply.write("two ")
            assert reply.fault is None
            reply.finish("stop")

        def half():
            with history._changing() as connection:
                connection.execute(sa.text("UPDATE chat_conversations SET title = 'half'"))
                assert cut_off(postgres_url) >= 1
                connection.execute(sa.text("UPDATE chat_conversations SET named = true"))

        with pytest.raises(UserError, match="cannot be used"):
            half()
        assert [one.content for one in history.path(chat)] == ["hi", "still there?", "one two "]
        assert history.conversation(chat).title == "hi"
        assert history.verify() == []


def test_two_processes_talk_at_once(sqlite):
    """Each in its own conversation, into one file; both are killed in the end."""
    command = [sys.executable, "-c", CHILD, str(sqlite)]
    with History.open(sqlite):
        pass
    two = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for one in two:
        for _ in range(60):
            assert one.stdout.readline(), one.stderr.read()
    with History.open(sqlite) as history, history.engine.connect() as connection:
        interrupted = connection.scalar(sa.text("SELECT count(*) FROM chat_replies WHERE finish = 'interrupted'"))
        assert interrupted == 0  # those that live go on
    for one in two:
        one.kill()
        assert one.communicate()[1] == ""
    with History.open(sqlite) as history:
        assert history.verify() == []
