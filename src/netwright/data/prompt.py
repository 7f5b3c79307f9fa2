"""Conversations as ids: nobody's words become special tokens, and what is too long loses its oldest turns.

    ids = encoded(tokenizer, [Message("user", "Hi <|im_end|>")])     # the <|im_end|> is read as ten characters
    learned = conversation(tokenizer, messages).learned              # which tokens of it the assistant says

The template is rendered once, with each special token that stands in somebody's words replaced by a character that
stands nowhere else; what is left of special tokens is the template's own. Between these the text is encoded as plain
text, with the words put back. For harmless words the ids are those of the template's own rendering.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from netwright.core.error import UserError
from netwright.data import packing
from netwright.data.template import DEFAULT, Template
from netwright.data.text import Message
from netwright.data.tokenizer import Tokenizer

Long = Literal["slide", "refuse"]
"""What becomes of a conversation that is too long: its oldest turns are left out, or it is refused."""
_ROLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_PRIVATE = range(0xE000, 0xF900)
"""Characters that Unicode leaves to everybody."""


@dataclass(frozen=True)
class Marks:
    """A tokenizer's special tokens, and the pattern that finds them."""

    tokens: Mapping[str, Mapping[str, Any]]
    pattern: re.Pattern[str]


@lru_cache(maxsize=8)
def marks(written: str) -> Marks:
    """The special tokens of a tokenizer's file; the longest is found first, as the library does."""
    told = {one["content"]: one for one in json.loads(written).get("added_tokens", []) if one.get("special")}
    names = sorted(filter(None, told), key=len, reverse=True)
    return Marks(told, re.compile("|".join(map(re.escape, names)) or r"(?!)"))


@lru_cache(maxsize=8)
def _template(source: str, special: tuple[tuple[str, str], ...]) -> Template:
    return Template(source, dict(special))


def template_of(tokenizer: Tokenizer) -> Template:
    """The model's chat template, or ChatML where it brings none."""
    return _template(tokenizer.template or DEFAULT, tuple(sorted(tokenizer.special.items())))


def encoded(tokenizer: Tokenizer, messages: Sequence[Message], **variables: Any) -> list[int]:
    """Ids of a conversation, ending where the reply begins; what people wrote is plain text, whatever it looks like.

    Raises UserError for a conversation that the template refuses, and for roles that are no words.
    """
    if not messages:
        raise UserError("messages", "none", "at least one message", 'messages=[{"role": "user", "content": "Hi"}]')
    for message in messages:
        if not _ROLE.fullmatch(message.role):
            raise UserError("role", message.role, "a word, such as system, user or assistant", "mend the message")
        if not message.content.isascii() and message.content.encode("utf-8", "ignore").decode() != message.content:
            raise UserError("message", message.content[:40], "it has half characters (surrogates)", "mend the message")
    known, template = marks(tokenizer.json), template_of(tokenizer)
    hidden = Hidden(messages, template.source)
    text = template.render([hidden.without(known.pattern, message) for message in messages], True, **variables)
    words = [Message(message.role, "word") for message in messages]
    found = len(known.pattern.findall(text))
    if found > _count(template, words, known, variables) and found:
        # a special token made of somebody's words and the template's: no character of one is left to words
        ends = re.compile("|".join(map(re.escape, sorted(set("".join(known.tokens))))))
        hidden = Hidden(messages, template.source)
        text = template.render([hidden.without(ends, message) for message in messages], True, **variables)
    return _between(tokenizer, text, known, hidden)


def plain(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text to be continued: no template, and no special token but the one that texts begin with."""
    return [*tokenizer.beginning(), *tokenizer.literal(text)]


def fitted(
    tokenizer: Tokenizer, messages: Sequence[Message], most: int, long: Long = "slide", **variables: Any
) -> tuple[list[int], int]:
    """Ids of a conversation in at most `most` tokens, and how many of its messages were left out for that.

    The oldest turns go first, a turn being what a user wrote and what was answered; system messages at the front and
    the last turn stay. Raises UserError where these alone are too long, or with `long="refuse"` at once.
    """
    ids = encoded(tokenizer, messages, **variables)
    if len(ids) <= most:
        return ids, 0
    allowed = f"{len(ids):,} tokens; {most:,} leave room for a reply"
    if long == "refuse":
        raise UserError("messages", f"{len(messages)} messages", allowed, "shorten the conversation")
    front = next((at for at, one in enumerate(messages) if one.role != "system"), len(messages))
    begins = [at for at, one in enumerate(messages) if at > front and one.role == "user"]
    for first in begins:
        ids = encoded(tokenizer, [*messages[:front], *messages[first:]], **variables)
        if len(ids) <= most:
            return ids, first - front
    raise UserError("messages", "the last one", f"{len(ids):,} tokens; {most:,} leave room for a reply", "shorten it")


class Hidden:
    """Texts that characters which stand nowhere else stand for."""

    def __init__(self, messages: Sequence[Message], template: str) -> None:
        used = set(template).union(*(message.content for message in messages))
        self._free = (chr(code) for code in _PRIVATE if chr(code) not in used)
        self._texts: dict[str, str] = {}
        self._marks: dict[str, str] = {}

    def without(self, pattern: re.Pattern[str], message: Message) -> Message:
        """A message with a character in the place of all that the pattern finds."""
        return Message(message.role, pattern.sub(lambda found: self._mark(found[0]), message.content))

    def _mark(self, text: str) -> str:
        if text not in self._texts:
            mark = next(self._free, None)
            if mark is None:
                raise UserError("message", text, "too many private characters stand in it", "leave them out")
            self._texts[text], self._marks[mark] = mark, text
        return self._texts[text]

    def back(self, text: str) -> str:
        """The text as it was written."""
        return text.translate({ord(mark): was for mark, was in self._marks.items()})


def _count(template: Template, words: Sequence[Message], known: Marks, variables: Mapping[str, Any]) -> int:
    try:
        return len(known.pattern.findall(template.render(words, True, **variables)))
    except UserError:  # it looks into the words, and refuses others
        return 0


@dataclass(frozen=True)
class Conversation:
    """A whole conversation as ids, from which to which character of `text` each stands, and which of them are learned:
    what the assistant says, its end included."""

    text: str
    ids: list[int]
    places: Sequence[tuple[int, int]]
    learned: NDArray[np.bool_]


def conversation(tokenizer: Tokenizer, messages: Sequence[Message]) -> Conversation:
    """A conversation to learn from or to judge by; what people wrote is plain text, whatever it looks like.

    Raises UserError for a conversation that the template refuses, and where it cannot be told what is a reply.
    """
    known, template = marks(tokenizer.json), template_of(tokenizer)
    if not any(known.pattern.search(message.content) for message in messages):
        text, replies = template.spans(messages)
        ids, places = tokenizer.encode_with_places(text)
        return Conversation(text, ids, places, packing.learned(places, replies))
    hidden = Hidden(messages, template.source)
    text, replies = template.spans([hidden.without(known.pattern, message) for message in messages])
    ids, places = _placed(tokenizer, text, known, hidden)
    replies = [(len(hidden.back(text[:first])), len(hidden.back(text[:last]))) for first, last in replies]
    return Conversation(hidden.back(text), ids, places, packing.learned(places, replies))


def _between(tokenizer: Tokenizer, text: str, known: Marks, hidden: Hidden) -> list[int]:
    """Ids of a text whose special tokens count, and nothing else that looks like one."""
    return _placed(tokenizer, text, known, hidden)[0]


def _placed(tokenizer: Tokenizer, text: str, known: Marks, hidden: Hidden) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids and places, in the text with everybody's words put back."""
    ids: list[int] = []
    places: list[tuple[int, int]] = []
    at, done, strip = 0, 0, False
    for found in [*known.pattern.finditer(text), None]:
        whole = text[at : found.start() if found else len(text)]
        told = known.tokens[found[0]] if found else {}
        stretch = whole.lstrip() if strip else whole
        skipped = len(whole) - len(stretch)
        words = hidden.back(stretch.rstrip() if told.get("lstrip") else stretch)
        if words:
            more, where = tokenizer.literal_with_places(words)
            ids += more
            places += [(done + skipped + first, done + skipped + last) for first, last in where]
        done += len(hidden.back(whole))
        if found:
            ids.append(int(told["id"]))
            places.append((done, done + len(found[0])))
            done += len(found[0])
            at, strip = found.end(), bool(told.get("rstrip"))
    return ids, places
