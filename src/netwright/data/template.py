"""Chat templates: the one renderer for training, export and serving, and where in a rendering a reply stands.

    template = Template(DEFAULT)
    text, replies = template.spans([Message("user", "Hi"), Message("assistant", "Hello!")])
    text[replies[0][0] : replies[0][1]]                     # 'Hello!<|im_end|>'

Templates are Jinja, as transformers runs them (`sandbox`), and render the same characters. This file does not
know tokens: a special token is the text that stands for it.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from netwright.core.error import UserError
from netwright.data.sandbox import Sandbox, bounded
from netwright.data.text import Message

LONGEST = 1 << 19
"""Characters of a template; the longest published ones have some 20,000."""
DEFAULT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML, for models that bring no template. Its tokens: <|im_start|> and <|im_end|>."""
_GENERATION = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")
_FAULTS = (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError,
           MemoryError, AssertionError)  # fmt: skip


class Template:
    """A chat template. `special` are the variables that name tokens: bos_token, eos_token, ..."""

    def __init__(self, source: str, special: Mapping[str, str] | None = None) -> None:
        self.source, self.special = source, dict(special or {})
        self.marks_replies = bool(_GENERATION.search(source))
        """Whether the template says itself, with `{% generation %}`, what the assistant writes."""
        self.prompts = "add_generation_prompt" in source
        """Whether it can end where a reply would begin. Those of Llama 2 and Mistral always do."""
        if len(source) > LONGEST:
            raise self._refuse(f"has {len(source):,} characters, more than {LONGEST:,}")
        try:
            self._compiled = _compiled(source)
        except jinja2.TemplateSyntaxError as fault:
            raise self._refuse(f"broken at line {fault.lineno}: {fault.message}") from None
        except (*_FAULTS, SyntaxError) as fault:
            raise self._refuse(f"cannot be compiled: {_sentence(fault)}") from None

    def render(self, messages: Sequence[Message], generate: bool = False, **variables: Any) -> str:
        """The text of a conversation; with `generate`, ending where the assistant's reply would begin.

        `variables` are the template's own (tools, documents, enable_thinking, date_string). Raises UserError
        with the template's words when it refuses the conversation, and when it exceeds its bounds.
        """
        return self._rendered(messages, generate, None, variables)

    def spans(self, messages: Sequence[Message], **variables: Any) -> tuple[str, list[tuple[int, int]]]:
        """The rendered text, and of each of the assistant's messages the characters that it says, its end token
        included: where loss is taken. White space after an end token is not; where a template has no end token,
        the white space that ends the turn is.

        A template with `{% generation %}` says it itself. Of any other, each reply is rendered once more as a
        word that stands nowhere else, which shows where it begins and ends even if the template rewrites or moves
        turns. Raises UserError where that cannot be told.
        """
        text = self.render(messages, **variables)
        if self.marks_replies:
            return text, self._marked(messages, text, variables)
        replies = [n for n, message in enumerate(messages) if message.role == "assistant"]
        found = [self._reply(messages, n, text, variables) for n in replies]
        for (_, end), (start, _) in itertools.pairwise(found):
            if start < end:
                raise self._untold("two replies overlap")
        return text, found

    def _rendered(
        self, messages: Sequence[Message], generate: bool, mark: tuple[str, str] | None, variables: Mapping[str, Any]
    ) -> str:
        given = {"tools": None, "documents": None, **self.special, **variables}
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            with bounded(mark):
                return self._compiled.render(messages=turns, add_generation_prompt=generate, **given)
        except _FAULTS as fault:
            raise self._refuse(f"refuses this conversation: {_sentence(fault)}") from None

    def _marked(self, messages: Sequence[Message], text: str, variables: Mapping[str, Any]) -> list[tuple[int, int]]:
        word = _absent(text)
        marks = (f"{word}<", f"{word}>")
        pieces = re.split(f"({word}[<>])", self._rendered(messages, False, marks, variables))
        spans: list[tuple[int, int]] = []
        at, start = 0, None
        for piece in pieces:
            if piece == marks[0]:
                start = at
            elif piece == marks[1] and start is not None:
                spans.append((start, at))
                start = None
            else:
                at += len(piece)
        if "".join(piece for piece in pieces if piece not in marks) != text or start is not None:
            raise self._untold("what stands in its generation tags is changed after")
        return [span for span in spans if span[0] < span[1]]

    def _reply(self, messages: Sequence[Message], n: int, text: str, variables: Mapping[str, Any]) -> tuple[int, int]:
        """Where message n is said, its end token included."""
        last = n == len(messages) - 1
        until = text if last else self._prefix(messages[: n + 1], False, variables)
        before = self._prefix(messages[:n], True, variables)
        content = messages[n].content
        opened = before is not None and text.startswith(before)
        closed = until is not None and text.startswith(until)
        content = messages[n].content
        whole = opened and closed and self.prompts and content
        if whole and before and until and text.startswith(content, len(before)):
            return len(before), _ended(text, len(before) + len(content), len(until))
        said = self._located(messages, n, text, variables)
        if said is None:
            if opened and closed and before and until and content.strip() in text[len(before) : len(until)]:
                return len(before), len(text[: len(until)].rstrip())
            raise self._untold(f"message {n + 1} is changed beyond recognition")
        start, end = said
        if before is not None:
            start = _prompted(text, start, before)
        if closed and until is not None and len(until) >= end:
            return start, _ended(text, end, len(until))
        return start, end + self._tail(messages, n, text[end:], variables)

    def _prefix(self, messages: Sequence[Message], generate: bool, variables: Mapping[str, Any]) -> str | None:
        """A part of the conversation rendered, or None where the template wants it whole."""
        try:
            return self._rendered(messages, generate, None, variables)
        except UserError:
            return None

    def _located(
        self, messages: Sequence[Message], n: int, text: str, variables: Mapping[str, Any]
    ) -> tuple[int, int] | None:
        """Where the content of message n stands: the rendering with a strange word in its place tells."""
        word = _absent(text)
        other = self._prefix([*messages[:n], Message("assistant", word), *messages[n + 1 :]], False, variables)
        if other is None or other.count(word) != 1:
            return None
        head, tail = other.split(word)
        if not text.startswith(head) or not text.endswith(tail) or len(head) + len(tail) > len(text):
            return None
        said = text[len(head) : len(text) - len(tail)]
        content = messages[n].content
        known = said in content and (said or not content.strip())
        return (len(head), len(head) + len(said)) if known else None

    def _tail(self, messages: Sequence[Message], n: int, after: str, variables: Mapping[str, Any]) -> int:
        """Characters of the end token after a reply, as the same reply has it when it is the last."""
        word = _absent(after + "".join(message.content for message in messages))
        alone = self._prefix([*messages[:n], Message("assistant", word)], False, variables)
        tail = alone.split(word)[-1] if alone is not None and alone.count(word) == 1 else None
        length = _ended(tail, 0, len(tail)) if tail is not None else 0
        if tail is None or not after.startswith(tail[:length]):
            raise self._untold(f"where message {n + 1} ends, the template writes something else than at the end")
        return length

    def _untold(self, why: str) -> UserError:
        advice = "put {% generation %} and {% endgeneration %} around the assistant's words in the template"
        return UserError("template", _first_line(self.source), f"where the replies stand cannot be told: {why}", advice)

    def _refuse(self, why: str) -> UserError:
        advice = "mend the conversation, or choose another template (DEFAULT is ChatML)"
        return UserError("template", _first_line(self.source), why, advice)


@functools.lru_cache(maxsize=16)  # some milliseconds each, and a template is opened again for every record
def _compiled(source: str) -> jinja2.Template:
    return Sandbox().from_string(source)


def _ended(text: str, content: int, end: int) -> int:
    """Where the end token ends: what stands after the content up to the end of its line.

    Phi-3 writes <|end|> and, after the last turn alone, a line with <|endoftext|>. Where nothing but white space
    ends a turn, all of that.
    """
    tail = text[content:end]
    token = tail.lstrip()
    return content + len(tail) - len(token) + len(token.partition("\n")[0].rstrip()) if token else end


def _prompted(text: str, start: int, prompt: str) -> int:
    """Where the prompt ends: Llama 2 puts a space between it and the reply, which the model then has to write.

    The prompt's last word is looked for, not all of it: Mistral moves the system message with every turn.
    """
    words, stem = prompt.rstrip(), text[:start].rstrip()
    space = prompt[len(words) :]
    if words.split()[-1:] != stem.split()[-1:] or not text[len(stem) : start].startswith(space):
        return start
    return len(stem) + len(space)


def _absent(text: str) -> str:
    """A word that stands nowhere in the text."""
    n = 0
    while f"Reply{n}Here" in text:
        n += 1
    return f"Reply{n}Here"


def _first_line(source: str) -> str:
    return source.strip().partition("\n")[0][:80]


def _sentence(fault: BaseException) -> str:
    if isinstance(fault, RecursionError):
        return "it nests or calls itself without end"
    text = " ".join(str(fault).split())[:300].removesuffix(".")
    return text or type(fault).__name__
