"""The tree of messages, on SQLite and on a real PostgreSQL server."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.chat.history import About, History, nodes, schema, streaming
from netwright.core import db
from netwright.core.error import UserError


@pytest.fixture(params=["sqlite", "postgres"])
def history(request, tmp_path, monkeypatch):
    """An empty history, in a database of each kind."""
    monkeypatch.delenv(db.VARIABLE, raising=False)
    if request.param == "postgres":
        monkeypatch.setenv(db.VARIABLE, request.getfixturevalue("postgres_url"))
    with History.open(tmp_path / "runs") as opened:
        yield opened
        assert opened.verify() == []


@pytest.fixture
def again(history, tmp_path):
    """Opens the same history once more."""
    return lambda: History.open(tmp_path / "runs")


def said(history, chat):
    return [one.content for one in history.path(chat)]


def answered(history, chat, text, to="tip", **about):
    with history.begin(chat, About(**about), to) as reply:
        reply.write(text)
        return reply.finish("stop", {"tokens": len(text)})


def talk(history, *texts, **about):
    """A conversation of these texts, of the person and the model in turn."""
    chat = history.new(**about)
    for at, text in enumerate(texts):
        answered(history, chat, text) if at % 2 else history.add(chat, "user", text)
    return chat


def count(history, table="chat_messages"):
    with history.engine.connect() as connection:
        return connection.scalar(sa.text(f"SELECT count(*) FROM {table}"))


def test_a_conversation_is_kept_with_all_that_made_it(history, again):
    chat = history.new(system="Be brief.")
    history.add(chat, "user", "Why is the sky blue? é 🙂")
    about = About("smol", "d" * 64, "t" * 64, "Be brief.", {"temperature": 0.5, "stop": ["\n"]}, 7, "int8", "onnx", 2)
    with history.begin(chat, about) as reply:
        reply.write("Rayleigh")
        reply.write(" scattering.")
        reply.finish("length", {"tokens": 2, "first_token": 0.5})
    with again() as other:
        asked, found = other.path(chat)
        assert (asked.role, asked.content, asked.siblings, asked.which) == ("user", "Why is the sky blue? é 🙂", 1, 1)
        assert (found.role, found.content, found.parent) == ("assistant", "Rayleigh scattering.", asked.id)
        (kept,) = found.replies
        assert {name: getattr(kept, name) for name in About.__dataclass_fields__} == vars(about)
        assert (kept.finish, kept.statistics) == ("length", {"tokens": 2, "first_token": 0.5})
        assert kept.created <= kept.ended <= time.time()
        told = other.conversation(chat)
        assert (told.title, told.system, told.model, told.count) == (
            "Why is the sky blue? é 🙂",
            "Be brief.",
            "smol",
            2,
        )


def test_edits_and_regenerations_are_siblings(history):
    chat = talk(history, "one", "uno", "two", "dos")
    first, answer = history.path(chat)[:2]
    assert answered(history, chat, "eins", first.id) != answer.id
    assert said(history, chat) == ["one", "eins"]
    assert [(one.siblings, one.which) for one in history.path(chat)] == [(1, 1), (2, 2)]
    history.step(chat, history.path(chat)[1].id, -1)
    assert said(history, chat) == ["one", "uno", "two", "dos"]
    history.step(chat, answer.id, -1)  # around the end
    assert said(history, chat) == ["one", "eins"]
    edited = history.edit(chat, first.id, "ONE")
    assert said(history, chat) == ["ONE"]
    assert history.conversation(chat).title == "ONE"
    assert history.edit(chat, first.id, "ONE") == edited
    assert history.path(chat)[0].siblings == 2
    assert len(history.nodes(chat)) == 6


def test_two_replies_of_one_text_are_one_message_with_two_records(history):
    chat = talk(history, "hi", "hello")
    asked, answer = history.path(chat)
    assert answered(history, chat, "hello", asked.id, seed=1) == answer.id
    (asked, answer) = history.path(chat)
    assert answer.siblings == 1
    assert [one.seed for one in answer.replies] == [None, 1]
    history.rate(chat, answer.id, 1, "good")
    assert [one.thumb for one in history.path(chat)[1].replies] == [0, 1]


def test_strangers_that_begin_alike_share_nothing(history):
    one, two = talk(history, "hi", "hello"), talk(history, "hi", "hello")
    assert {node.id for node in history.nodes(one)}.isdisjoint(node.id for node in history.nodes(two))
    history.delete(one)
    assert said(history, two) == ["hi", "hello"]


def test_a_fork_shares_and_outlives_the_first(history):
    chat = talk(history, "one", "uno", "two", "dos", system="s")
    answered(history, chat, "other", history.path(chat)[0].id)
    history.step(chat, history.path(chat)[1].id, 1)
    fork = history.fork(chat, history.path(chat)[1].id, title="mine")
    assert count(history) == 5
    history.add(fork, "user", "three")
    assert said(history, fork) == ["one", "uno", "three"]
    assert [one.siblings for one in history.path(fork)] == [1, 1, 1]  # branches stay behind
    assert history.conversation(fork).system == "s"
    assert said(history, chat) == ["one", "uno", "two", "dos"]
    history.delete(chat)
    assert said(history, fork) == ["one", "uno", "three"]
    assert count(history) == 3
    history.delete(fork)
    assert [count(history, table) for table in schema.schema.tables] == [0] * 5


def test_a_branch_is_deleted_and_the_tip_moves(history):
    chat = talk(history, "one", "uno", "two", "dos")
    first, answer, second, _ = history.path(chat)
    history.edit(chat, second.id, "zwei")
    fork = history.fork(chat)
    assert history.delete_branch(chat, history.path(chat)[2].id) is not None
    assert said(history, chat) == ["one", "uno", "two", "dos"]
    assert said(history, fork) == ["one", "uno", "zwei"]
    assert history.delete_branch(chat, answer.id) == first.id
    assert said(history, chat) == ["one"]
    assert history.delete_branch(chat, first.id) is None
    assert said(history, chat) == []
    history.add(chat, "user", "anew")
    assert said(history, chat) == ["anew"]
    assert said(history, fork) == ["one", "uno", "zwei"]


def test_the_list_is_paged_tagged_and_pinned(history):
    chats = [talk(history, f"chat {n}") for n in range(7)]
    history.pin(chats[2])
    history.tag(chats[1], " Physics ")
    history.tag(chats[1], "physics")
    history.tag(chats[4], "physics")
    history.add(chats[0], "user", "newest")
    assert [one.id for one in history.conversations(3)] == [chats[2], chats[0], chats[6]]
    assert [one.id for one in history.conversations(3, 3)] == [chats[5], chats[4], chats[3]]
    assert [one.id for one in history.conversations(tag="physics")] == [chats[4], chats[1]]
    assert history.conversation(chats[1]).tags == ("physics",)
    assert history.tags() == {"physics": 2}
    history.untag(chats[1], "PHYSICS")
    assert history.tags() == {"physics": 1}
    history.pin(chats[2], False)
    assert history.conversations(1)[0].id == chats[0]
    history.rename(chats[0], "A\nname")
    history.add(chats[0], "user", "x", None)
    assert history.conversation(chats[0]).title == "A name"
    history.rename(chats[0], "")
    assert history.conversation(chats[0]).title == "x"
    assert history.find(chats[3]) == history.find(chats[3][:12]) == chats[3]


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda h, c: h.add("none", "user", "x"), "no such conversation"),
        (lambda h, c: h.add(c, "boss", "x"), "user, assistant"),
        (lambda h, c: h.add(c, "user", "a\0b"), "without NUL"),
        (lambda h, c: h.add(c, "user", "a\ud800b"), "halves"),
        (lambda h, c: h.add(c, "user", "x" * (nodes.LONGEST + 1)), "at most"),
        (lambda h, c: h.add(c, "user", "x", "none"), "no message of this"),
        (lambda h, c: h.edit(c, "none", "x"), "no message of this"),
        (lambda h, c: h.switch(c, "none"), "no message of this"),
        (lambda h, c: h.fork(c, "none"), "no message of this"),
        (lambda h, c: h.move("none", None), "no such conversation"),
        (lambda h, c: h.delete("none"), "no such conversation"),
        (lambda h, c: h.delete_branch(c, "none"), "no message of this"),
        (lambda h, c: h.begin(h.new(), About()), "nothing was said"),
        (lambda h, c: h.rate(c, h.path(c)[0].id, 1), "a reply"),
        (lambda h, c: h.rate(c, h.path(c)[1].id, 2), "1, 0 or -1"),
        (lambda h, c: h.tag(c, " "), "a word"),
        (lambda h, c: h.tag(c, "a\nb"), "a word"),
        (lambda h, c: h.untag(c, "a"), "no tag"),
        (lambda h, c: h.rename("none", "a"), "no such conversation"),
        (lambda h, c: h.rename(c, "a" * 1000), "at most"),
        (lambda h, c: h.pin("none"), "no such conversation"),
        (lambda h, c: h.path("none"), "no such conversation"),
        (lambda h, c: h.find("%"), "no such conversation"),
        (lambda h, c: h.find("\0"), "no such conversation"),
        (lambda h, c: h.find(""), "no such conversation"),
        (lambda h, c: h.find("\ud800"), "no such conversation"),
        (lambda h, c: h.path("\ud800"), "no such conversation"),
        (lambda h, c: h.switch(c, "\0"), "no message of this"),
        (lambda h, c: h.untag("\ud800", "a"), "no such conversation"),
        (lambda h, c: h.pin("\0"), "no such conversation"),
        (lambda h, c: h.tell(c, system="\0"), "without NUL"),
        (lambda h, c: h.new(title="\ud800"), "halves"),
        (lambda h, c: h.rate(c, h.path(c)[1].id, 1, "\0"), "without NUL"),
    ],
)
def test_refusals_change_nothing(history, act, words):
    chat = talk(history, "one", "uno")
    before = (history.conversations(), history.nodes(chat))
    with pytest.raises(UserError, match=words):
        act(history, chat)
    assert [one for one in history.conversations() if one.count] == before[0]
    assert history.nodes(chat) == before[1]


HOSTILE = (
    '"', "*", "NEAR(", "a OR", "^sky*", "sky AND", "-", "'", "&|!<->:*", "\\", "\0", "\ud800", "()", "_", "content:x",
    "{sky}: y", "--", ";", "%s", ":asked", "x" * 10_000, "a " * 10_000, "😀", "'\\':*",
)  # fmt: skip


def test_words_are_found_and_hostile_queries_are_only_words(history):
    chat = talk(history, "Why is the SKY blue?", "Rayleigh scattering; see café and foo_bar", "thanks", "sky! " * 50)
    fork = history.fork(chat)
    hits = history.search("sky")
    assert [one.role for one in hits] == ["assistant", "user"]
    assert {one.conversation for one in hits} == {fork}
    assert [text for text, hit in hits[1].parts if hit] == ["SKY"]
    assert "".join(text for text, _ in hits[1].parts) == "Why is the SKY blue?"
    assert len("".join(text for text, _ in hits[0].parts)) < 200
    assert len(history.search("scatter")) == len(history.search("RAYLEIGH scat")) == len(history.search("foo_bar")) == 1
    assert history.search("scatter rayleigh") == []  # only the last word may be begun
    assert history.search("sky absent") == []
    assert [len(history.search("sky", 1, skip)) for skip in (0, 1, 2)] == [1, 1, 0]
    for query in HOSTILE:
        assert isinstance(history.search(query), list)
    assert [one.role for one in history.search('"sky" blue*')] == ["user"]
    history.delete(chat)
    assert len(history.search("sky")) == 2
    history.delete(fork)
    assert history.search("sky") == []


@given(query=st.text(max_size=40))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_is_a_fault(history, query):
    assert history.search(query) == []


def test_a_reply_is_kept_while_it_streams(history, again, monkeypatch):
    monkeypatch.setattr(streaming, "EVERY_S", 0.0)
    chat = talk(history, "hi")
    with history.begin(chat, About()) as reply:
        reply.write("Hel")
        reply.write("lo\0")
        with again() as other:
            assert said(other, chat) == ["hi"]  # this process is alive
            with other.engine.connect() as connection:
                assert connection.scalar(sa.text("SELECT text FROM chat_replies")) == "Hello\ufffd"
        reply.write(" there")
    assert said(history, chat) == ["hi", "Hello\ufffd there"]
    assert history.path(chat)[1].replies[0].finish == "interrupted"


def test_a_reply_without_a_word_leaves_nothing_unless_it_ended_so(history):
    chat = talk(history, "hi")
    with pytest.raises(ZeroDivisionError), history.begin(chat, About()):
        raise ZeroDivisionError
    assert said(history, chat) == ["hi"]
    assert count(history, "chat_replies") == 0
    answered(history, chat, "")
    assert said(history, chat) == ["hi", ""]


def test_writes_are_few(history):
    chat, now, writes = talk(history, "hi"), [0.0], []
    sa.event.listen(history.engine, "commit", lambda connection: writes.append(1))
    reply = history.begin(chat, About())
    reply._clock, reply._last = (lambda: now[0]), 0.0
    for _ in range(1000):
        now[0] += 0.01
        reply.write("x")
    assert len(writes) <= 1 + 40
    reply.finish("stop")
    assert said(history, chat) == ["hi", "x" * 1000]


CHILD = """
import sys, time
from pathlib import Path
from netwright.chat.history import About, History, streaming
streaming.EVERY_S = 0.0
history = History.open(Path(sys.argv[1]))
reply = history.begin(sys.argv[2], About(model="m"))
if len(sys.argv) > 3:
    reply.write(sys.argv[3])
print("written", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("text", ["Because", ""])
def test_a_dead_process_leaves_an_interrupted_reply(history, again, tmp_path, text):
    chat = talk(history, "hi")
    command = [sys.executable, "-c", CHILD, str(tmp_path / "runs"), chat, *([text] if text else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as child:
        try:
            assert child.stdout.readline() == "written\n"
            with again() as other:
                assert said(other, chat) == ["hi"]  # it lives
        finally:
            child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with again() as other:  # nobody has waited for it yet: a zombie
            assert said(other, chat) == ["hi", text][: 1 + bool(text)]
    assert [one.finish for one in (*history.path(chat)[-1].replies,)] == ["interrupted"] * bool(text)
    assert count(history, "chat_replies") == bool(text)


def test_another_machine_is_known_by_its_last_word_only(history, again):
    chat = talk(history, "hi")
    reply = history.begin(chat, About())
    reply.write("Hel")
    reply.flush()

    def told(beat):
        with history.engine.begin() as connection:
            connection.execute(sa.text("UPDATE chat_replies SET owner = 'elsewhere 1@2', beat = :b"), {"b": beat})

    told(time.time() - 500)
    again().close()
    assert said(history, chat) == ["hi"]
    told(time.time() - 700)
    again().close()
    assert said(history, chat) == ["hi", "Hel"]
    reply.write("lo")  # it was alive after all
    reply.flush()
    reply.finish("stop")
    assert said(history, chat) == ["hi", "Hello"]
    assert history.path(chat)[1].siblings == 1
    assert count(history, "chat_messages") == 2


def test_what_was_made_of_an_interrupted_reply_stays(history, again):
    chat = talk(history, "hi")
    reply = history.begin(chat, About())
    reply.write("Hel")
    reply.flush()
    with history.engine.begin() as connection:
        connection.execute(sa.text("UPDATE chat_replies SET owner = 'elsewhere 1@2', beat = 0"))
    again().close()
    history.add(chat, "user", "go on")
    reply.write("lo")
    reply.finish("stop")
    assert said(history, chat) == ["hi", "Hel", "go on"]
    assert [one.siblings for one in history.path(chat)] == [1, 2, 1]


def test_a_conversation_that_is_deleted_while_it_streams(history):
    chat = talk(history, "hi")
    reply = history.begin(chat, About())
    history.delete(chat)
    reply.write("x")
    reply.flush()
    with pytest.raises(UserError, match="deleted while"):
        reply.finish("stop")
    branch = talk(history, "hi")
    fork = history.fork(branch)
    reply = history.begin(branch, About())
    history.delete_branch(branch, history.path(branch)[0].id)
    with pytest.raises(UserError, match="deleted while"):
        reply.finish("stop")
    assert said(history, fork) == ["hi"]


def test_the_tip_stays_where_a_person_went_meanwhile(history):
    chat = talk(history, "one", "uno")
    first = history.path(chat)[0].id
    reply = history.begin(chat, About(), first)
    history.edit(chat, first, "two")
    reply.write("eins")
    reply.finish("stop")
    assert said(history, chat) == ["two"]
    assert len(history.nodes(chat)) == 4


def test_many_threads_lose_nothing(history):
    chat = talk(history, "hi")
    first = history.path(chat)[0].id

    def work(n):
        for at in range(5):
            with history.begin(chat, About(), first) as reply:
                reply.write(f"{n} {at}")
                reply.finish("stop")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(one.content for one in history.nodes(chat)[1:]) == sorted(
        f"{n} {at}" for n in range(4) for at in range(5)
    )


def test_verify_finds_what_was_changed(history):
    chat = talk(history, "one", "uno")
    ids = [one.id for one in history.path(chat)]

    def change(sql, undo, expected):
        with history.engine.begin() as connection:
            connection.execute(sa.text(sql))
        assert any(expected in one for one in history.verify()), sql
        with history.engine.begin() as connection:
            connection.execute(sa.text(undo))

    change(f"UPDATE chat_messages SET role = 'user' WHERE id = '{ids[1]}'",
           f"UPDATE chat_messages SET role = 'assistant' WHERE id = '{ids[1]}'", "another hash")  # fmt: skip
    change(f"DELETE FROM chat_members WHERE message = '{ids[1]}'",
           f"INSERT INTO chat_members VALUES ('{chat}', '{ids[1]}')", "no conversation reaches it")  # fmt: skip
    change("UPDATE chat_conversations SET origin = 'x'",
           f"UPDATE chat_conversations SET origin = (SELECT origin FROM chat_messages WHERE id = '{ids[0]}')",
           "in another tree")  # fmt: skip


def test_migrations_make_the_tables_that_the_code_states(history):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    sqlite = history.engine.dialect.name == "sqlite"

    def mine(name, kind, parent):
        return kind != "table" or name in schema.schema.tables

    def stated(thing, name, kind, reflected, other):
        # SQLAlchemy does not read of SQLite what a key of one column does on deletion; PostgreSQL runs the same text
        unread = {"unique_constraint", *(["foreign_key_constraint"] if sqlite else [])}
        return name not in ("words", "ix_chat_messages_words") and kind not in unread

    with history.engine.connect() as connection:
        opts = {"compare_type": True, "include_name": mine, "include_object": stated}
        assert compare_metadata(MigrationContext.configure(connection, opts=opts), schema.schema) == []


def test_a_newer_database_is_refused_and_an_older_is_migrated(history, again, monkeypatch):
    chat = talk(history, "one")
    done = []
    known = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", (*known, lambda connection: done.append(1)))
    with again() as other:
        assert said(other, chat) == ["one"]
    again().close()
    assert done == [1]
    monkeypatch.setattr(schema, "MIGRATIONS", known)
    with pytest.raises(UserError, match="newer netwright"):
        again()
    with history.engine.begin() as connection:
        connection.execute(sa.text("UPDATE chat_version SET version = 1"))


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_whatever_is_done_the_tree_holds(data):
    """Random acts against a model: of each conversation a set of paths, of roles and texts."""
    with History.open(None) as history:
        chats: dict[str, set[tuple[str, ...]]] = {}

        def texts(chat):
            known = {one.id: one for one in history.nodes(chat)}

            def path(one):
                return (*(path(known[one.parent]) if one.parent else ()), (one.role, one.content))

            return {path(one): one.id for one in known.values()}

        for _ in range(data.draw(st.integers(1, 25))):
            act = data.draw(st.sampled_from(["new", "add", "reply", "fork", "edit", "switch", "branch", "delete"]))
            if act == "new" or not chats:
                chats[history.new()] = set()
                continue
            chat = data.draw(st.sampled_from(list(chats)))
            at = texts(chat)
            place = data.draw(st.sampled_from(sorted(at))) if at else ()
            word = data.draw(st.sampled_from("abc"))
            if act == "add":
                history.add(chat, "user", word, at.get(place))
                chats[chat].add((*place, ("user", word)))
            elif act == "reply" and at:
                answered(history, chat, word, at[place])
                chats[chat].add((*place, ("assistant", word)))
            elif act == "fork" and at:
                fork = history.fork(chat, at[place])
                chats[fork] = {place[:n] for n in range(1, len(place) + 1)}
            elif act == "edit" and at:
                history.edit(chat, at[place], word)
                chats[chat].add((*place[:-1], (place[-1][0], word)))
            elif act == "switch" and at:
                history.switch(chat, at[place])
                assert said(history, chat)[: len(place)] == [content for _, content in place]
            elif act == "branch" and at:
                history.delete_branch(chat, at[place])
                chats[chat] = {one for one in chats[chat] if one[: len(place)] != place}
            elif act == "delete":
                history.delete(chat)
                del chats[chat]
            assert history.verify() == []
        for chat, expected in chats.items():
            assert set(texts(chat)) == expected
            lines = nodes.branches(history.nodes(chat), history.conversation(chat).tip)
            assert Counter(one.id for line in lines for one in line) == Counter(texts(chat).values())


def test_whatever_an_engine_tells_of_a_reply_can_be_kept(history):
    chat = talk(history, "hi")
    odd = {"stop": ["\0", "\ud800", ("a",)], "x": float("inf"), "big": 1 << 70, 7: None, "yes": True, "o": object}
    about = About(model="a\udcff\0", system="\0", sampling=odd, seed=1 << 70)
    with history.begin(chat, about) as reply:
        reply.write("ok")
        reply.finish("stop", {"per_second": float("nan"), "tokens": 3})
    (kept,) = history.path(chat)[1].replies
    assert (kept.model, kept.seed, kept.statistics) == ("a\ufffd\ufffd", None, {"per_second": None, "tokens": 3})
    assert kept.sampling | {"o": ""} == {
        "stop": ["\ufffd", "\ufffd", ["a"]], "x": None, "big": str(1 << 70), "7": None, "yes": True, "o": "",
    }  # fmt: skip
    assert history.conversations(tag="\ud800") == []


def test_what_people_say_is_theirs(tmp_path, monkeypatch):
    monkeypatch.delenv(db.VARIABLE, raising=False)
    with History.open(tmp_path / "runs") as history:
        talk(history, "secret")
        files = list((tmp_path / "runs").iterdir())
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
        assert history.last() == history.conversations()[0].id


def test_what_is_no_database_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv(db.VARIABLE, raising=False)
    (tmp_path / "chats.db").write_text("no database " * 1000)
    with pytest.raises(UserError, match="cannot be used"):
        History.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError):
        History.open(tmp_path / "file")


def test_the_database_makes_no_promise_that_it_does_not_keep(tmp_path, monkeypatch):
    monkeypatch.delenv(db.VARIABLE, raising=False)
    with History.open(tmp_path) as history, history.engine.connect() as connection:
        told = {
            name: connection.scalar(sa.text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert told == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize("word", ["w{}", "\U00020000{}", "{}é"])
def test_a_message_of_millions_of_characters_is_kept_and_its_beginning_found(history, word):
    text = " ".join(word.format(n) for n in range(400_000))[: nodes.LONGEST]
    chat = talk(history, text)
    assert said(history, chat) == [text]
    (found,) = history.search(word.format(77))
    assert len("".join(part for part, _ in found.parts)) < 300
    dense = " ".join(chr(0x20000 + n) for n in range(42_000)) + " end"  # as many words as fit, of four bytes each
    history.add(chat, "user", dense)
    assert len(history.search(chr(0x20000 + 41_000))) == 1
