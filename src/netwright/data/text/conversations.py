"""The shapes in which conversations are published, recognised by their fields and converted to messages.

| shape | fields |
|---|---|
| messages | messages: [{role, content}], content a text or OpenAI's list of parts |
| ShareGPT | conversations: [{from, value}] |
| chosen | chosen (and rejected), as messages, as a text after prompt, or as "Human: ... Assistant: ..." |
| Alpaca | instruction, input, output |
| prompt/completion | prompt and completion, or response |
| question/answer | question and answer |
| text | text, content or document; or the field that is asked for |

This file does not know files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from netwright.core.error import show
from netwright.data.text import Message, Record
from netwright.data.text.streams import BrokenError

ROLES = {
    "user": "user", "human": "user", "prompter": "user", "assistant": "assistant", "gpt": "assistant",
    "chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "model": "assistant", "bot": "assistant",
    "system": "system", "developer": "system",
}  # fmt: skip
TEXTS = ("text", "content", "document")
_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")


def shape(fields: Collection[str]) -> str:
    """The name of the shape that a record with these fields has; empty when none is known."""
    for names, name in _FIRST:
        if all(any(one in fields for one in either) for either in names):
            return name
    return ""


_FIRST: tuple[tuple[tuple[tuple[str, ...], ...], str], ...] = (
    ((("messages", "conversation"),), "messages"),
    ((("conversations",),), "ShareGPT"),
    ((("chosen",),), "chosen"),
    ((("instruction",), ("output",)), "Alpaca"),
    ((("prompt",), ("completion", "response")), "prompt/completion"),
    ((("question",), ("answer",)), "question/answer"),
    ((TEXTS,), "text"),
)


def convert(row: Any, place: str, column: str = "") -> tuple[Record, str]:
    """The record that a row is, and the shape it was recognised by.

    Raises BrokenError for a row of no known shape, a role that is none, and turns that do not alternate.
    An empty text or chat is returned as it is.
    """
    if isinstance(row, str):
        return Record(text=row, place=place), "text"
    if isinstance(row, list) and row and all(isinstance(turn, Mapping) for turn in row):
        row = {"messages": row}
    if not isinstance(row, Mapping):
        raise BrokenError(f"a {_kind(row)}, where a record with named fields is expected")
    if column:
        return Record(text=_text(row, column), place=place), "text"
    found = shape(row)
    if not found:
        raise BrokenError(f"no known shape: its fields are {show(', '.join(map(str, row)))}; name one as the column")
    if found == "text":
        return Record(text=_text(row, next(name for name in TEXTS if name in row)), place=place), found
    messages = _MAKERS[found](row)
    check(messages)
    return Record(messages=messages, place=place), found


def check(messages: Sequence[Message]) -> None:
    """A system message at most, first; then user and assistant in turn, each saying something."""
    turns = messages[1:] if messages and messages[0].role == "system" else messages
    for n, message in enumerate(turns):
        expected = "assistant" if n % 2 else "user"
        at = n + 1 + len(messages) - len(turns)
        if message.role != expected:
            raise BrokenError(f"message {at} is of the {message.role}, where the {expected}'s turn is")
        if not message.content.strip():
            raise BrokenError(f"message {at}, of the {message.role}, says nothing")


def _messages(row: Mapping[str, Any]) -> tuple[Message, ...]:
    return _turns(row["messages"] if "messages" in row else row["conversation"])


def _sharegpt(row: Mapping[str, Any]) -> tuple[Message, ...]:
    system = row.get("system")
    first = (Message("system", system),) if isinstance(system, str) and system.strip() else ()
    return first + _turns(row["conversations"])


def _chosen(row: Mapping[str, Any]) -> tuple[Message, ...]:
    chosen, prompt = row["chosen"], row.get("prompt")
    if isinstance(chosen, list):
        turns = _turns(chosen)
        return turns if turns and turns[0].role != "assistant" else _prompted(prompt) + turns
    if isinstance(prompt, (str, list)):
        return (*_prompted(prompt), Message("assistant", _text(row, "chosen")))
    pieces = _TURN.split(_text(row, "chosen"))
    if len(pieces) < 3 or pieces[0].strip():
        raise BrokenError('the chosen text has no prompt, and does not begin with "Human: "')
    return tuple(Message(ROLES[who.lower()], said) for who, said in zip(pieces[1::2], pieces[2::2], strict=True))


def _alpaca(row: Mapping[str, Any]) -> tuple[Message, ...]:
    asked, given = _text(row, "instruction"), _text(row, "input") if row.get("input") else ""
    user = f"{asked}\n\n{given}" if given.strip() else asked
    system = _text(row, "system") if row.get("system") else ""
    first = (Message("system", system),) if system.strip() else ()
    return (*first, Message("user", user), Message("assistant", _text(row, "output")))


def _completion(row: Mapping[str, Any]) -> tuple[Message, ...]:
    name = "completion" if "completion" in row else "response"
    said = row[name]
    reply = _turns(said) if isinstance(said, list) else (Message("assistant", _text(row, name)),)
    return _prompted(row["prompt"]) + reply


def _answer(row: Mapping[str, Any]) -> tuple[Message, ...]:
    return (Message("user", _text(row, "question")), Message("assistant", _text(row, "answer")))


_MAKERS = {
    "messages": _messages,
    "ShareGPT": _sharegpt,
    "chosen": _chosen,
    "Alpaca": _alpaca,
    "prompt/completion": _completion,
    "question/answer": _answer,
}


def _prompted(prompt: Any) -> tuple[Message, ...]:
    if isinstance(prompt, list):
        return _turns(prompt)
    if not isinstance(prompt, str):
        raise BrokenError(f'"prompt" is a {_kind(prompt)}, not a text')
    return (Message("user", prompt),)


def _turns(turns: Any) -> tuple[Message, ...]:
    if turns is None:
        return ()
    if not isinstance(turns, (list, tuple)):
        raise BrokenError(f"the messages are a {_kind(turns)}, not a list")
    made = (_turn(turn, n) for n, turn in enumerate(turns, 1))
    return tuple(one for one in made if one.role != "system" or one.content.strip())


def _turn(turn: Any, n: int) -> Message:
    if not isinstance(turn, Mapping):
        raise BrokenError(f"message {n} is a {_kind(turn)}, not {{role, content}}")
    who = turn.get("role", turn.get("from"))
    role = ROLES.get(who.strip().lower()) if isinstance(who, str) else None
    if role is None:
        raise BrokenError(f"message {n} has the role {show(who)}, not system, user or assistant")
    said = turn["content"] if "content" in turn else turn.get("value")
    if isinstance(said, list):
        said = "".join(_part(part, n) for part in said)
    if not isinstance(said, str):
        raise BrokenError(f"message {n} has a {_kind(said)} for content, not a text")
    return Message(role, said)


def _part(part: Any, n: int) -> str:
    if isinstance(part, str):
        return part
    said = part.get("text") if isinstance(part, Mapping) else None
    if not isinstance(said, str):
        kind = part.get("type") if isinstance(part, Mapping) else _kind(part)
        raise BrokenError(f"message {n} has a part of type {show(kind)}, and only text can be read")
    return said


def _text(row: Mapping[str, Any], name: str) -> str:
    if name not in row:
        raise BrokenError(f'no field "{name}": its fields are {show(", ".join(map(str, row)))}')
    said = row[name]
    if said is None:
        return ""
    if not isinstance(said, str):
        raise BrokenError(f'"{name}" is a {_kind(said)}, not a text')
    return said


def _kind(value: Any) -> str:
    names = {dict: "table", list: "list", str: "text", bool: "truth value", int: "number", float: "number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
