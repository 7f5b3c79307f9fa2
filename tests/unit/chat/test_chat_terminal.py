"""A chat in the terminal: commands, messages of several lines, Ctrl-C, faults that lose nothing."""

import io
import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from netwright.chat import terminal
from netwright.chat.sampling import Sampling
from netwright.chat.terminal import Terminal, shown
from netwright.chat.turn import Piece, Statistics
from netwright.core.error import UserError
from netwright.data.language import byte_tokenizer
from netwright.data.text import Message

TOOK = Statistics(prompt=3, reused=0, left_out=0, tokens=2, first_token=0.5, seconds=1.0, per_second=2.0)


class Echo:
    """Says the last message back, letter by letter, and keeps what it was asked."""

    tokenizer, longest, precision = byte_tokenizer(), 1000, "fp32"

    def __init__(self, act=lambda at: None):
        self.asked, self.told, self.act = [], [], act

    def stream(self, messages, sampling, cancelled=lambda: False):
        self.asked.append(messages)
        self.told.append(sampling)
        if messages[-1].content == "refuse":
            raise UserError("messages", "the last one", "shorter", "shorten it")
        for at, letter in enumerate(messages[-1].content):
            self.act(at)
            if cancelled():
                break
            yield Piece(letter)
        yield Piece("", finish="stop", statistics=TOOK)


def talk(*lines, model=None, terminal_=False, system=""):
    """What is on the screen after these lines, the model, and the chat."""
    left, model = list(lines), model or Echo()

    def read(prompt):
        if not left:
            raise EOFError
        line = left.pop(0)
        if isinstance(line, BaseException):
            raise line
        return line

    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal_, width=60, height=20, highlight=False)
    chat = Terminal(model, console, read, Sampling(max_tokens=9), system)
    assert chat.run() == 0
    return out.getvalue(), model, chat


def test_a_conversation_grows_and_its_statistics_are_told():
    text, model, chat = talk("one", "two", system="Be kind.")
    assert [one.content for one in model.asked[1]] == ["Be kind.", "one", "one", "two"]
    assert "2 tokens, 2.0 a second, first after 0.50 s" in text
    assert [one.role for one in chat.messages] == ["user", "assistant"] * 2


def test_lines_that_go_on_and_quoted_texts_are_one_message():
    _, model, _ = talk("first\\", "second", '"""a', "", '/no command"""', "", "  ")
    assert [asked[-1].content for asked in model.asked] == ["first\nsecond", "a\n\n/no command"]


def test_commands():
    text, model, chat = talk(
        "/help", "/stats", "hi", "/again", "/stats", "/show", "/system Be brief.", "x", "/undo",
        "/set temperature=0.5 top_k=3", "/set", "y", "/new", "z", "/exit", "never said",
    )  # fmt: skip
    assert "/undo" in text
    assert "nothing was answered yet" in text
    assert model.asked[1] == [Message("user", "hi")]
    assert [told.seed for told in model.told[:2]] == [0, 1]
    assert model.asked[2][0] == Message("system", "Be brief.")
    assert model.asked[3][-1].content == "y"
    assert len(model.asked[3]) == 4  # x was taken back
    assert (model.told[-1].temperature, model.told[-1].top_k) == (0.5, 3)
    assert [one.content for one in chat.messages] == ["z", "z"]


@pytest.mark.parametrize(
    "line", ["/helo", "/set hot=1", "/set temperature", "/set temperature=cold", "/again", "refuse"]
)
def test_what_is_wrong_is_said_and_nothing_is_lost(line):
    text, _, chat = talk(line, "fine")
    assert "Next:" in text
    assert [one.content for one in chat.messages] == ["fine", "fine"]
    assert chat._told == Sampling(max_tokens=9)


def test_ctrl_c_ends_a_reply_and_not_the_chat():
    model = Echo(lambda at: os.kill(os.getpid(), signal.SIGINT) if at == 2 else None)
    _, _, chat = talk("abcdef", KeyboardInterrupt(), "xy", model=model)
    assert [one.content for one in chat.messages] == ["abcdef", "ab", "xy", "xy"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_markdown_is_rendered_and_markup_is_not():
    text, _, _ = talk("**bold** [red]no markup[/red]", terminal_=True)
    assert "\x1b[1mbold\x1b[0m" in text
    assert "[red]no markup[/red]" in text
    assert talk("[red]x[/red]")[0].count("[red]x[/red]") == 1


@given(
    st.lists(
        st.sampled_from(["a\n", "\n", "```\n", "# h\n", "\x1b[2J", "| a | b |\n", "x" * 200, "[/red]"]), max_size=20
    )
)
def test_any_text_is_shown_whole_however_it_is_cut(parts):
    out = io.StringIO()
    console = Console(file=out, width=40)
    with shown(console) as show:
        for part in parts:
            show(part)
    assert out.getvalue().rstrip("\n") == "".join(parts).rstrip("\n")
    with shown(Console(file=io.StringIO(), force_terminal=True, width=40, height=10)) as show:
        for part in parts:
            show(part)


@given(st.text(alphabet="a`~\n\r -#1.|", max_size=40))
def test_what_is_printed_for_good_means_the_same_as_in_the_whole(text):
    at = terminal._blocks(text)
    rendered = MarkdownIt().enable("table").render
    assert text[:at] == "" or text[:at].endswith(("\n", "\r"))
    assert rendered(text[:at]) + rendered(text[at:]) == rendered(text)


def test_a_block_is_printed_for_good_when_the_next_one_begins():
    assert terminal._blocks("one\n\ntwo") == 5
    assert terminal._blocks("````\n```\n\na\n```\n\nb\n") == 0, "a fence ends at one of its own length"
    assert terminal._blocks("1. a\n\n2. b\n\n3. c") == 0, "a list is numbered as a whole"
    assert terminal._blocks("a```\n\nb") == 6
