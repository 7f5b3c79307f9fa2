"""A terminal's chat is kept as it goes: commands over a history, faults that lose nothing."""

import io
import json

import pytest
import sqlalchemy as sa
from rich.console import Console

from netwright.chat.history import About, History, streaming
from netwright.chat.kept import COMMANDS, Kept
from netwright.chat.sampling import Sampling
from netwright.chat.terminal import Terminal
from netwright.chat.turn import Piece, Statistics
from netwright.core.error import UserError
from netwright.data.language import byte_tokenizer

TOOK = Statistics(prompt=3, reused=0, left_out=0, tokens=2, first_token=0.5, seconds=1.0, per_second=2.0)


class Count:
    """Answers with how many messages it was given and the last one, a letter at a time."""

    tokenizer, longest, precision = byte_tokenizer(), 1000, "fp32"

    def __init__(self, act=lambda at: None):
        self.asked, self.act = [], act

    def stream(self, messages, sampling, cancelled=lambda: False):
        self.asked.append([one.content for one in messages])
        if messages[-1].content == "refuse":
            raise UserError("messages", "the last one", "shorter", "shorten it")
        for at, letter in enumerate(f"{len(messages)} {messages[-1].content} {sampling.seed}"):
            self.act(at)
            yield Piece(letter)
        yield Piece("", finish="stop", statistics=TOOK)


@pytest.fixture
def history(tmp_path, monkeypatch):
    monkeypatch.delenv("NETWRIGHT_DATABASE_URL", raising=False)
    with History.open(tmp_path / "runs") as opened:
        yield opened
        assert opened.verify() == []


def talk(history, *lines, model=None, chat=None, system="", opens=None):
    """What is on the screen after these lines, and the conversation."""
    left = list(lines)

    def read(prompt):
        if not left:
            raise EOFError
        return left.pop(0)

    out = io.StringIO()
    kept = Kept(history, About(model="count", artifact="d" * 64, precision="fp32"), chat, system)
    console = Console(file=out, width=200, highlight=False)
    assert Terminal(model or Count(), console, read, Sampling(), kept=kept, opens=opens).run() == 0
    return out.getvalue(), kept


def said(history, chat):
    return [one.content for one in history.path(chat)]


def test_what_is_said_is_there_when_the_terminal_is_gone(history, tmp_path):
    _, kept = talk(history, "hello", "/system Be brief.", "more", "/set seed=7", "last")
    with History.open(tmp_path / "runs") as again:
        (one,) = again.conversations()
        assert (one.id, one.title, one.system, one.model) == (kept.chat, "hello", "Be brief.", "count")
        assert said(again, one.id) == ["hello", "1 hello 0", "more", "4 more 0", "last", "6 last 7"]
        first, *_, last = (node.replies[0] for node in again.path(one.id) if node.role == "assistant")
        assert (first.system, last.system, last.seed, last.artifact) == ("", "Be brief.", 7, "d" * 64)
        assert (last.finish, last.statistics["tokens"], last.sampling["seed"]) == ("stop", 2, 7)


def test_a_chat_is_gone_on_with(history):
    _, first = talk(history, "hello", system="Be brief.")
    model = Count()
    _, second = talk(history, "more", chat=first.chat[:10], model=model)
    assert second.chat == first.chat
    assert model.asked == [["Be brief.", "hello", "2 hello 0", "more"]]


def test_again_edit_and_branches(history):
    text, kept = talk(
        history, "one", "two", "/again", "/branch previous", "/edit 1 eins", "/branch next", "/branch 3 next", "/undo",
    )  # fmt: skip
    assert "4 assistant 1/2: 3 two 0" in text
    assert "1 user 1/2: one" in text  # the edited one is second
    assert said(history, kept.chat) == ["one", "1 one 0"]
    contents = sorted(one.content for one in history.nodes(kept.chat))
    assert contents == sorted(["one", "1 one 0", "two", "3 two 0", "3 two 1", "eins", "1 eins 1"])
    text, _ = talk(history, "/edit 2", "a better answer", "/show", chat=kept.chat)
    assert "2 assistant 2/2: a better answer" in text


def test_fork_title_tags_pin_and_lists(history):
    _, first = talk(
        history, "alpha", "beta", "/title My [red]chat[/red]", "/tag Physics", "/tag maths", "/tag -maths", "/pin"
    )
    _, fork = talk(history, "/fork 2", "gamma", "/title", chat=first.chat)
    assert said(history, fork.chat) == ["alpha", "1 alpha 0", "gamma", "3 gamma 0"]
    assert said(history, first.chat)[2] == "beta"
    text, _ = talk(
        history, "/history", "/open 2", "/history 2", "/search gam", "/open 1", "/search", "/open " + first.chat[:9]
    )
    assert f"  1 {first.chat[:8]} My [red]chat[/red] * #physics" in text
    assert f"  2 {fork.chat[:8]} alpha" in text
    assert text.count("3 user: gamma") == 2
    assert "no message has these words" in text
    assert text.count("3 user: beta") == 1
    assert "no longer pinned" in talk(history, "/pin", chat=first.chat)[0]


def test_out_in_and_thumbs(history, tmp_path):
    _, kept = talk(history, "alpha", "/bad too short", "/again", "/good", f"/export {tmp_path}/sub/a.json")
    told = json.loads((tmp_path / "sub" / "a.json").read_text())
    assert [(one["thumb"], one["note"]) for one in told["replies"]] == [(-1, "too short"), (1, "")]
    history.delete(kept.chat)
    text, _ = talk(history, f"/import {tmp_path}/sub/a.json", "/history", "/open 1", f"/export {tmp_path}/a.md")
    assert "1 chats, 3 messages" in text
    assert "alpha" in (tmp_path / "a.md").read_text()


def test_another_model_answers(history):
    other = Count()
    text, kept = talk(history, "one", "/model other", "two", opens=lambda name: (other, About(model=name)))
    assert "other in fp32" in text
    assert other.asked == [["one", "1 one 0", "two"]]
    assert [one.replies[0].model for one in history.path(kept.chat)[1::2]] == ["count", "other"]
    assert history.conversation(kept.chat).model == "other"


@pytest.mark.parametrize(
    "line",
    [
        "/open", "/open 9", "/open zz", "/branch", "/branch next", "/branch up", "/branch x next", "/branch 9 next",
        "/fork 9", "/fork x", "/tag", "/tag -none", "/export", "/export a.doc", "/export /proc/x/a.md", "/import",
        "/import none", "/edit", "/edit 9 x", "/edit x y", "/model", "/model other", "/history x", "refuse", "a\0b",
        "/title " + "x" * 999, "/system a\0b", "/open \0",
    ],
)  # fmt: skip
@pytest.mark.parametrize("begun", [True, False])
def test_what_is_wrong_is_said_and_nothing_is_lost(history, line, begun):
    before = ["hi", "1 hi 0"] * begun
    chat = talk(history, "hi")[1].chat if begun else None
    text, kept = talk(history, line, chat=chat)
    assert "Next:" in text
    assert (said(history, kept.chat) if kept.chat else []) == before
    text, kept = talk(history, "fine", chat=kept.chat)
    assert said(history, kept.chat) == [*before, "fine", f"{len(before) + 1} fine 0"]


@pytest.mark.parametrize(
    "line", ["/good", "/bad x", "/pin", "/tag x", "/title x", "/fork", "/export a.md", "/again", "/edit 1 x"]
)
def test_commands_before_anything_was_said(history, line):
    text, _ = talk(history, line, "/undo", "/show", "/branch next")
    assert "Next:" in text
    assert history.conversations() == []


def test_every_command_is_explained_and_carried_out(history):
    text, kept = talk(history, "/help")
    for command in COMMANDS:
        assert f"/{command}" in text
    assert set(kept.commands) == {command.split()[0] for command in COMMANDS}


def test_a_reply_that_fails_half_way_is_kept(history):
    def fail(at):
        if at == 3:
            raise UserError("model", "it", "no more", "wait")

    text, kept = talk(history, "hello", model=Count(fail))
    assert "no more" in text
    assert said(history, kept.chat) == ["hello", "1 h"]
    assert history.path(kept.chat)[1].replies[0].finish == "interrupted"

    def broken(at):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        talk(history, "hello", model=Count(broken))


def test_a_database_that_is_away_for_a_while_costs_no_word(history, monkeypatch):
    """It fails from the third letter of a reply until the next message."""
    monkeypatch.setattr(streaming, "EVERY_S", 0.0)
    away = []

    def fail(connection):
        if away:
            raise sa.exc.OperationalError("x", {}, Exception("the disk is gone"))

    sa.event.listen(history.engine, "begin", fail)
    lines = ["hello", "/show", "back again"]

    def read(prompt):
        if not lines:
            raise EOFError
        if lines[0] == "/show":
            away.clear()
        return lines.pop(0)

    out = io.StringIO()
    kept = Kept(history, About(model="count"))
    model = Count(lambda at: away.append(1) if at == 3 and len(lines) == 2 else None)
    Terminal(model, Console(file=out, width=200), read, Sampling(), kept=kept).run()
    assert "the disk is gone" in out.getvalue()
    assert "1 hello 0" in out.getvalue()
    assert said(history, kept.chat) == ["hello", "1 hello 0", "back again", "3 back again 0"]
    assert [one.replies[0].finish for one in history.path(kept.chat)[1::2]] == ["stop", "stop"]


def test_what_others_wrote_does_not_move_the_cursor(history):
    chat = history.new(title="evil \x1b[2J\x1b]0;x\x07 \x9b2J")
    history.add(chat, "user", "sky \x1b[2J")
    text, _ = talk(history, "/history", "/open 1", "/search sky")
    assert not {"\x1b", "\x07", "\x9b"} & set(text)
    assert text.count("sky \ufffd[2J") == 2


def test_a_long_list_has_pages(history):
    chats = [history.new(title=f"chat {n}") for n in range(40)][::-1]
    for command in ("/history 16", "/history 31"):
        text, kept = talk(history, command, f"/open {command.split()[1]}")
        assert kept.chat == chats[int(command.split()[1]) - 1]
    text, _ = talk(history, "/history 16", "/open 3")
    assert "a number of the last list" in text
    assert text.count("chat ") == 15
