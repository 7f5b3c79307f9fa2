"""The conversation of a terminal, as a history keeps it: where it stands, and the commands that move it.

    kept = Kept(History.open(Path("runs")), About(model="smollm2-135m-instruct"))
    kept.say("Why is the sky blue?")
    print(kept.commands["history"](""))

Messages have numbers, from 1, as they are shown; chats that were listed have numbers, too. A history without a folder
is in memory: everything works, and nothing stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from netwright.chat.history import TIP, About, History, Node
from netwright.chat.history.bundle import restore
from netwright.chat.history.formats import of_suffix, written
from netwright.chat.history.nodes import checked, shown
from netwright.chat.history.reading import read
from netwright.chat.history.streaming import Streaming
from netwright.chat.sampling import Sampling
from netwright.core import artifact, recipe
from netwright.core.error import UserError
from netwright.data.text import Message

COMMANDS = {
    "history [N]": "chats that were kept, from the N-th on",
    "search WORDS": "messages that have these words",
    "open N": "go on with a chat of the last list, or by its id",
    "branch [N] next": "another branch at message N, or at the last one that has several; or previous",
    "fork [N]": "go on in a new chat from here, or from message N",
    "title [TEXT]": "call the chat so",
    "tag NAME": "mark the chat; -NAME takes the mark away",
    "pin": "keep the chat on top of the list, or no longer",
    "export FILE": "write the chat: .json, .jsonl, .md, .html",
    "import FILE": "take chats in, as exported here, by ChatGPT, or as ShareGPT or messages",
    "good [NOTE]": "the last reply was good",
    "bad [NOTE]": "the last reply was bad",
}
PAGE = 15
UNKNOWN = About()


class Kept:
    """A conversation in a history; none is begun before something is said. `about` is what answers."""

    def __init__(self, history: History, about: About = UNKNOWN, chat: str | None = None, system: str = "") -> None:
        self.history, self.about, self.system = history, about, system
        self.chat: str | None = None
        self.commands: dict[str, Callable[[str], str]] = {
            "history": self._list, "search": self._search, "open": self._open, "branch": self._branch,
            "fork": self._fork, "title": self._title, "tag": self._tag, "pin": self._pin, "export": self._export,
            "import": self._import, "good": lambda note: self._rate(1, note), "bad": lambda note: self._rate(-1, note),
        }  # fmt: skip
        """Each takes the words after it, and says what was done. Raises UserError."""
        self._listed: dict[int, str] = {}
        self._streaming: Streaming | None = None
        if chat is not None:
            self.go(chat)
            self.system = system or self.system

    # what is said

    @property
    def path(self) -> list[Node]:
        """The messages so far."""
        return self.history.path(self.chat) if self.chat else []

    @property
    def messages(self) -> list[Message]:
        """The same as an engine takes them."""
        return [one.message for one in self.path]

    @property
    def here(self) -> str:
        """The conversation. Raises UserError where none was begun."""
        if self.chat is None:
            raise UserError("chat", "nothing was said", "a message first", "write one")
        return self.chat

    def say(self, text: str) -> str | None:
        """Keep what the person says; returns where the conversation stood before."""
        self.mend()
        if self.chat is None:
            chat = self.history.new(self.system, model=self.about.model)
            try:
                self.history.add(chat, "user", text)
            except UserError:
                self.history.delete(chat)
                raise
            self.chat = chat
            return None
        before = self.history.conversation(self.chat).tip
        self.history.add(self.chat, "user", text)
        return before

    def reply(self, told: Sampling) -> Streaming:
        """A reply to the last message begins."""
        self.mend()
        about = replace(self.about, system=self.system, sampling=recipe.plain(told), seed=told.seed)
        self._streaming = self.history.begin(self.here, about)
        return self._streaming

    def mend(self) -> None:
        """Keep the last reply, where the database was away when it ended. Raises UserError while it still is."""
        last = self._streaming
        if last is not None and last.message is None and last.text:
            try:
                last.mend()
            except UserError as refusal:
                if refusal.setting != "conversation":  # that one was deleted, and is no more to be mended
                    raise
        self._streaming = None

    def back(self, to: str | None) -> None:
        """Stand where the conversation stood."""
        if self.chat:
            self.history.move(self.chat, to)

    def again(self) -> None:
        """Stand before the last reply, so that another one becomes its sibling."""
        path = self.path
        if not path:
            raise UserError("/again", "nothing was said", "a message first", "write one")
        if path[-1].role == "assistant":
            self.back(path[-1].parent)

    def undo(self) -> None:
        """Stand before the last message and its reply."""
        path = self.path
        if path:
            last = path[-1] if path[-1].role == "user" or len(path) == 1 else path[-2]
            self.back(last.parent)

    def edit(self, at: int, text: str) -> bool:
        """Say message `at` differently. True where that asks for a reply."""
        node = self.numbered(at)
        self.history.edit(self.here, node.id, text)
        return node.role == "user"

    def numbered(self, at: int) -> Node:
        """A message by its number. Raises UserError."""
        path = self.path
        if not 1 <= at <= len(path):
            allowed = f"1 to {len(path)}" if path else "nothing was said yet"
            raise UserError("message", at, allowed, "/show")
        return path[at - 1]

    def leave(self) -> None:
        """Begin anew with the next message."""
        self.mend()
        self.chat = None

    def tell(self, system: str) -> None:
        """What the model is told beforehand. Raises UserError for what cannot be kept."""
        checked("/system", system)
        if self.chat:
            self.history.tell(self.chat, system=system)
        self.system = system

    def go(self, chat: str) -> None:
        """Go on with a conversation."""
        self.mend()
        told = self.history.conversation(self.history.find(chat))
        self.chat, self.system = told.id, told.system

    # commands

    def _list(self, rest: str) -> str:
        first = max(1, number("/history", rest or "1"))
        found = self.history.conversations(PAGE, first - 1)
        self._listed = {at: one.id for at, one in enumerate(found, first)}
        lines = []
        for at, one in enumerate(found, first):
            marks = "".join(["*" * one.pinned, *(f" #{tag}" for tag in one.tags)])
            lines.append(f"{at:>3} {one.id[:8]} {one.title}{f' {marks}' if marks else ''}")
        return shown("\n".join(lines)) or "no chats were kept"

    def _search(self, rest: str) -> str:
        found = self.history.search(rest, PAGE)
        places = {id: at for at, id in enumerate(dict.fromkeys(one.conversation for one in found), 1)}
        self._listed = {at: id for id, at in places.items()}
        lines = []
        for one in found:
            words = "".join(text for text, _ in one.parts)
            lines.append(f"{places[one.conversation]:>3} {one.title}: {words}")
        return shown("\n".join(lines)) or "no message has these words"

    def _open(self, rest: str) -> str:
        if rest.isdecimal() and len(rest) < 4:
            if int(rest) not in self._listed:
                raise UserError("/open", rest, "a number of the last list, or more of an id", "/history")
            rest = self._listed[int(rest)]
        self.go(rest)
        return self.shown()

    def _branch(self, rest: str) -> str:
        *place, which = rest.split() or [""]
        if which not in ("next", "previous") or len(place) > 1:
            raise UserError("/branch", rest, "next or previous, after a message's number or alone", "/branch next")
        if place:
            node = self.numbered(number("/branch", place[0]))
        else:
            several = [one for one in self.path if one.siblings > 1]
            if not several:
                raise UserError("/branch", rest, "no message here has another beside it", "/again makes one")
            node = several[-1]
        self.history.step(self.here, node.id, 1 if which == "next" else -1)
        return self.shown()

    def _fork(self, rest: str) -> str:
        node = self.numbered(number("/fork", rest)) if rest else None
        self.chat = self.history.fork(self.here, node.id if node else TIP)
        return f"chat {self.chat[:8]}"

    def _title(self, rest: str) -> str:
        self.history.rename(self.here, rest)
        return shown(self.history.conversation(self.here).title)

    def _tag(self, rest: str) -> str:
        if rest.startswith("-"):
            self.history.untag(self.here, rest[1:])
        else:
            self.history.tag(self.here, rest)
        return shown(" ".join(f"#{tag}" for tag in self.history.conversation(self.here).tags)) or "no tags"

    def _pin(self, rest: str) -> str:
        pinned = not self.history.conversation(self.here).pinned
        self.history.pin(self.here, pinned)
        return "pinned" if pinned else "no longer pinned"

    def _export(self, rest: str) -> str:
        path = Path(rest).expanduser()
        format = of_suffix(path.suffix)
        if not format or path.is_dir():
            raise UserError("/export", rest, "a file .json, .jsonl, .md or .html", "/export chat.md")
        text = "".join(written(self.history, format, [self.here]))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            artifact.replace_file(path, lambda draft: draft.write_bytes(text.encode()))
        except OSError as fault:
            raise UserError("/export", rest, f"cannot be written: {fault.strerror}", "/export chat.md") from None
        return f"written: {path}"

    def _import(self, rest: str) -> str:
        added = restore(self.history, read(Path(rest).expanduser()))
        return f"{added.conversations} chats, {added.messages} messages; /history lists them"

    def _rate(self, thumb: int, note: str) -> str:
        replies = [one for one in self.path if one.role == "assistant"]
        if not replies:
            raise UserError("/good", "no reply", "a reply first", "write a message")
        self.history.rate(self.here, replies[-1].id, thumb, note)
        return "good" if thumb > 0 else "bad"

    def shown(self) -> str:
        """The messages so far with their numbers, and which of several each is."""
        lines = []
        for at, one in enumerate(self.path, 1):
            which = f" {one.which}/{one.siblings}" if one.siblings > 1 else ""
            lines.append(f"{at} {one.role}{which}: {one.content}")
        return shown("\n".join(lines))


def number(command: str, text: str) -> int:
    """A number that a person wrote after a command. Raises UserError for what is none."""
    if not text.isdecimal() or len(text) > 9:
        raise UserError(command, text, "a number, as /show and /history tell it", f"{command} 1")
    return int(text)
