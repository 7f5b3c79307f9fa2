"""A chat in the terminal: streamed Markdown, commands that begin with a slash, and Ctrl-C that ends a reply only.

    Terminal(engine, console, input, Sampling(max_tokens=500), Kept(History.open(Path("runs")))).run()

A line that ends with a backslash goes on; three double quotes begin and end a text of several lines. Where the output
is no terminal the reply is printed as it is. What is said goes to a history as it is said (`chat.kept`); without one it
is forgotten at the end.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from netwright.chat import kept, sampling
from netwright.chat.engine import Generator
from netwright.chat.history import About, History
from netwright.chat.interrupt import noted
from netwright.chat.kept import Kept
from netwright.chat.sampling import Sampling
from netwright.chat.turn import Piece, Statistics
from netwright.core import recipe
from netwright.core.error import UserError, did_you_mean
from netwright.data.text import Message

QUOTES = '"""'
COMMANDS = {
    "help": "what can be said",
    "new": "begin another chat",
    "system TEXT": "what the model is told beforehand; without a text, nothing",
    "set NAME=VALUE": "a setting of sampling, as temperature=0.7; alone, all of them",
    "again": "another reply to the last message, beside this one",
    "edit N [TEXT]": "say message N differently, beside it",
    "undo": "go back before the last message and its reply",
    "show": "the conversation so far",
    "stats": "what the last reply took",
    "model NAME": "let another model answer",
    **kept.COMMANDS,
    "exit": "end (or Ctrl-D)",
}


class Terminal:
    """A conversation with a person. `read` asks for a line with a prompt, and raises EOFError at the end."""

    def __init__(
        self,
        generator: Generator,
        console: Console,
        read: Callable[[str], str],
        told: Sampling,
        system: str = "",
        kept: Kept | None = None,
        opens: Callable[[str], tuple[Generator, About]] | None = None,
    ) -> None:
        self._generator, self._console, self._read, self._told = generator, console, read, told
        self._kept = kept or Kept(History.open(None), system=system)
        self._opens = opens
        self._last: Statistics | None = None

    @property
    def messages(self) -> list[Message]:
        """The conversation so far."""
        return self._kept.messages

    def run(self) -> int:
        """Talk until the person ends it. Faults of what was asked are said, and nothing is lost."""
        self._console.print("/help tells what can be said; Ctrl-C ends a reply, Ctrl-D the chat.", style="dim")
        while True:
            try:
                text = self._asked()
            except EOFError:
                self._console.print()
                return 0
            except KeyboardInterrupt:
                self._console.print()
                continue
            try:
                if text.startswith("/"):
                    if self._command(text[1:].strip()):
                        return 0
                elif text.strip():
                    self._reply(self._kept.say(text))
            except UserError as refusal:
                self._console.print(Text(str(refusal), "red"))

    def _asked(self) -> str:
        """A message, of one line or several."""
        text = self._read("> ")
        if text.lstrip().startswith(QUOTES):
            text = text.lstrip()[len(QUOTES) :]
            while QUOTES not in text:
                text += "\n" + self._read(". ")
            return text.partition(QUOTES)[0]
        while text.endswith("\\"):
            text = text[:-1] + "\n" + self._read(". ")
        return text

    def _reply(self, back: str | None) -> None:
        """Answer what was said last; where the engine refuses that, the conversation stands at `back` again."""
        system = [Message("system", self._kept.system)] if self._kept.system else []
        messages, reply, last = self.messages, self._kept.reply(self._told), Piece("")
        try:
            with reply, noted() as interrupted, shown(self._console) as show:
                for last in self._generator.stream([*system, *messages], self._told, lambda: bool(interrupted)):
                    reply.write(last.text)
                    show(last.text)
                reply.finish(last.finish or "stop", recipe.plain(last.statistics) if last.statistics else None)
        except UserError:
            if not reply.text:
                self._kept.back(back)
            raise
        self._last = last.statistics
        self._console.print(self._line(), style="dim")

    def _line(self) -> str:
        found = self._last
        if found is None:
            return "nothing was answered yet"
        out = f"; {found.left_out} messages were too long ago" if found.left_out else ""
        return f"{found.tokens} tokens, {found.per_second:.1f} a second, first after {found.first_token:.2f} s{out}"

    def _command(self, words: str) -> bool:
        """Carry out a command. True where it ends the chat."""
        name, _, rest = words.partition(" ")
        known = {one.split()[0]: one for one in COMMANDS}
        if name not in known:
            raise UserError("command", f"/{name}", did_you_mean(name, known), "/help")
        if name == "exit":
            return True
        carried_out: dict[str, Callable[[str], None]] = {
            "help": self._help, "new": self._new, "system": self._kept.tell, "set": self._set, "again": self._again,
            "edit": self._edit, "undo": self._undo, "show": self._show, "stats": self._stats, "model": self._model,
        }  # fmt: skip
        if name in carried_out:
            carried_out[name](rest.strip())
        else:
            self._console.print(Text(self._kept.commands[name](rest.strip())))
        return False

    def _help(self, rest: str) -> None:
        for command, meaning in COMMANDS.items():
            self._console.print(Text.assemble((f"  /{command:<16} ", "bold"), meaning))

    def _new(self, rest: str) -> None:
        self._kept.leave()
        self._last = None

    def _set(self, rest: str) -> None:
        named = {one.name: getattr(self._told, one.name) for one in fields(self._told)}
        self._told = sampling.from_words({**named, **recipe.words(rest.split(), "/set")})
        now = ", ".join(f"{name}={value}" for name, value in recipe.plain(self._told).items())
        self._console.print("  " + now, style="dim", markup=False)

    def _again(self, rest: str) -> None:
        tip = self._tip()
        self._kept.again()
        self._told = replace(self._told, seed=self._told.seed + 1)
        self._reply(tip)

    def _edit(self, rest: str) -> None:
        number, _, text = rest.partition(" ")
        at = kept.number("/edit", number)
        before, tip = self._kept.numbered(at), self._tip()
        if not text.strip():
            self._console.print(Text(before.content, "dim"))
            text = self._asked()
        if text.strip() and self._kept.edit(at, text):
            self._reply(tip)

    def _tip(self) -> str | None:
        path = self._kept.path
        return path[-1].id if path else None

    def _undo(self, rest: str) -> None:
        self._kept.undo()
        self._show(rest)

    def _show(self, rest: str) -> None:
        self._console.print(Text(self._kept.shown()))

    def _model(self, rest: str) -> None:
        if self._opens is None or not rest:
            raise UserError("/model", rest, "a run, an artifact, or a name to import", "/model smollm2-135m-instruct")
        self._generator, self._kept.about = self._opens(rest)
        self._console.print(f"{rest} in {self._generator.precision}", style="dim", markup=False)

    def _stats(self, rest: str) -> None:
        self._console.print(self._line(), style="dim")


@contextlib.contextmanager
def shown(console: Console) -> Iterator[Callable[[str], None]]:
    """Within: text that grows, as Markdown; a block is printed for good as soon as the next one begins."""
    if not console.is_terminal:
        yield lambda text: console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
        console.print()
        return
    left = ""
    with Live(console=console, transient=True, refresh_per_second=10) as live:

        def add(text: str) -> None:
            nonlocal left
            left += text
            at = _blocks(left) if "\n" in text else 0  # a block begins with a line, and a long list takes 10 ms to read
            if at:
                live.console.print(Markdown(left[:at]))
                left = left[at:]
            live.update(_cut(left, console.height - 2))

        yield add
        live.update("")
    if left.strip():
        console.print(Markdown(left))


def _blocks(text: str) -> int:
    """Where the last block of Markdown begins; all before it is whole."""
    begins = [token.map[0] for token in Markdown(text).parsed if token.level == 0 and token.map]
    lines = [0, *(line.end() for line in re.finditer(r"\r\n?|\n", text))]
    return lines[begins[-1]] if len(begins) > 1 else 0


def _cut(text: str, lines: int) -> Any:
    """What is not whole yet; of a block that is higher than the window its end."""
    rows = text.splitlines()
    return Markdown(text) if len(rows) <= lines // 2 else Text("\n".join(rows[-max(1, lines // 2) :]))
