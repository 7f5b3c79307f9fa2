"""Files of conversations, recognised by what is in them, checked whole before anything is kept.

    added = restore(history, read(Path("conversations.json")))

| shape | recognised by |
|---|---|
| netwright's JSON or JSONL | format "netwright-chats" |
| ChatGPT's conversations.json | mapping |
| ShareGPT, JSON or JSONL | conversations |
| messages, JSON or JSONL | messages |

Nothing in a file is trusted: every hash is derived again, and what is too large, too deep, torn or no text is one
UserError that says where.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netwright.chat.history import nodes
from netwright.chat.history.bundle import FORMAT, VERSION, Bundle, broken, ordered
from netwright.chat.history.foreign import SHAPES
from netwright.core.error import UserError, show

LARGEST = 256 << 20
"""Bytes of a file."""
MOST_LEVELS = 32
"""Of what was told about a reply."""
_UNSOUND = re.compile("[\0\ud800-\udfff]")
_ID = re.compile(r"[0-9a-zA-Z_-]{1,64}")


def read(path: Path) -> Bundle:
    """The conversations of a file. Raises UserError for one that is not there, is none, or is broken anywhere."""
    try:
        if not path.is_file():
            raise UserError("import", str(path), "no such file", "netwright history import FILE")
        if path.stat().st_size > LARGEST:
            raise UserError("import", str(path), f"larger than {LARGEST >> 20} MiB", "take it apart")
        return parsed(path.read_bytes())
    except OSError as fault:
        raise UserError(
            "import", str(path), f"cannot be read: {fault.strerror}", "netwright history import FILE"
        ) from None


def parsed(data: bytes) -> Bundle:
    """The conversations of a file's bytes. Raises UserError as `read` does."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise broken(f"byte {fault.start}", "it is no UTF-8") from None
    try:
        rows, lined = _rows(text)
        _sound(rows)
        return _recognised(rows, lined)
    except RecursionError:
        raise broken("the file", "it is nested too deeply") from None


def _rows(text: str) -> tuple[list[Any], bool]:
    """The records of a file, and whether each has a line of its own."""
    try:
        whole = _loads(text)
        return (whole, False) if isinstance(whole, list) else ([whole], False)
    except ValueError:
        pass
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                found.append(_loads(line))
            except ValueError as fault:
                raise broken(f"line {number}", f"it is neither JSON nor JSONL: {fault}") from None
    if not found:
        raise broken("the file", "it is empty")
    return found, True


def _loads(text: str) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def _sound(value: Any) -> None:
    """Every text can be kept, every number is one."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            found = _UNSOUND.search(one)
            if found:
                raise broken(show(one), f"it has {found[0]!r}, which is no text")
        elif isinstance(one, float) and not math.isfinite(one):
            raise broken(str(one), "a number is too large")
        elif isinstance(one, int) and not -(1 << 63) <= one < 1 << 63:
            raise broken(show(one), "a number is too large")
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.keys()
            waiting += one.values()


def _recognised(rows: Sequence[Any], lined: bool) -> Bundle:
    first = rows[0] if rows else {}
    if isinstance(first, dict) and first.get("format") == FORMAT:
        if first.get("version") != VERSION:
            raise broken("version", f"{show(first.get('version'))}; this netwright knows {VERSION}")
        return _own(first, rows[1:], lined)
    found = Bundle()
    if not rows:
        return found
    if not isinstance(first, dict) or not any(shape in first for shape in SHAPES):
        raise broken("the file", f"no known shape: {show(first)}; known: {FORMAT}, {', '.join(SHAPES)}")
    shape = next(one for one in SHAPES if one in first)
    for number, row in enumerate(rows, 1):
        place = f"conversation {number}"
        if not isinstance(row, dict) or shape not in row:
            raise broken(place, f"it has no {shape}, as the first has")
        SHAPES[shape](found, row, place)
    return found


# netwright's own

TEXT, NUMBER = (str,), (int, float)
FIELDS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "message": {"id": TEXT, "origin": TEXT, "parent": (str, None), "role": TEXT, "name": TEXT, "content": TEXT,
                "created": NUMBER},
    "reply": {"id": TEXT, "message": TEXT, "model": TEXT, "artifact": TEXT, "template": TEXT, "system": TEXT,
              "sampling": (dict,), "seed": (int, None), "precision": TEXT, "engine": TEXT, "threads": (int, None),
              "statistics": (dict,), "finish": TEXT, "created": NUMBER, "ended": (int, float, None), "thumb": (int,),
              "note": TEXT},
    "conversation": {"id": TEXT, "origin": TEXT, "tip": (str, None), "title": TEXT, "named": (bool,), "system": TEXT,
                     "model": TEXT, "pinned": (bool,), "created": NUMBER, "changed": NUMBER, "tags": (list,),
                     "messages": (list,)},
}  # fmt: skip


def _own(head: Mapping[str, Any], rows: Sequence[Any], lined: bool) -> Bundle:
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in FIELDS}
    if lined or "messages" not in head:
        for number, row in enumerate(rows, 2):
            kind = str(row.get("kind")) if isinstance(row, dict) else ""
            if kind not in FIELDS:
                raise broken(f"line {number}", "it is no message, reply or conversation")
            found[kind].append(_fields(kind, row, f"line {number}"))
    else:
        for kind, name in (("message", "messages"), ("reply", "replies"), ("conversation", "conversations")):
            if not isinstance(head.get(name), list):
                raise broken(name, "it is no list")
            found[kind] = [_fields(kind, row, f"{name} {at}") for at, row in enumerate(head[name], 1)]
    _check(found["message"], found["reply"], found["conversation"])
    return Bundle(_in_order(found["message"]), found["reply"], found["conversation"])


def _fields(kind: str, row: Any, place: str) -> dict[str, Any]:
    """The fields of a row that are known, each of its type."""
    if not isinstance(row, dict):
        raise broken(place, "it is no record")
    for name, kinds in FIELDS[kind].items():
        value = row.get(name, ...)
        right = value is None if value is None else isinstance(value, tuple(k for k in kinds if k))
        if (value is None and None not in kinds) or not right or (isinstance(value, bool) and bool not in kinds):
            raise broken(f"{place}, {name}", f"{show(value) if value is not ... else 'missing'}")
    found = {name: row[name] for name in FIELDS[kind]}
    for name, value in found.items():
        if isinstance(value, str):
            nodes.checked(f"import, {place}, {name}", value)
        if name in ("id", "origin") and not _ID.fullmatch(value):
            raise broken(f"{place}, {name}", f"{show(value)} is no id")
        if isinstance(value, dict) and (_levels(value) > MOST_LEVELS or len(json.dumps(value)) > 1 << 20):
            raise broken(f"{place}, {name}", "it is too large, or too deep")
    if kind == "conversation":
        if len(found["title"]) > nodes.LONGEST_TITLE or not all(isinstance(one, str) for one in found["messages"]):
            raise broken(place, "messages are ids, and a title is short")
        for tag in found["tags"]:
            if not isinstance(tag, str) or tag != nodes.tag(tag):
                raise broken(f"{place}, tags", f"{show(tag)} is no tag")
    return found


def _levels(value: Any) -> int:
    """How deep a value is, as far as that matters."""
    deep, level = 0, [value]
    while level and deep <= MOST_LEVELS:
        deep += 1
        below = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        level = [one for some in below for one in some]
    return deep


def _check(messages: list[dict[str, Any]], replies: list[dict[str, Any]], chats: list[dict[str, Any]]) -> None:
    """Every hash is right, and everything that is pointed at is there."""
    known: dict[str, dict[str, Any]] = {}
    for one in messages:
        if one["role"] not in nodes.ROLES or one["id"] != nodes.digest(
            *(one[name] for name in ("parent", "origin", "role", "content", "name"))
        ):
            raise broken(f"message {one['id']}", "its text has another hash")
        known[one["id"]] = one
    for one in messages:
        above = known.get(one["parent"] or one["id"])
        if above is None or above["origin"] != one["origin"]:
            raise broken(f"message {one['id']}", "what it follows is not there")
    for one in replies:
        if one["message"] not in known or known[one["message"]]["role"] != "assistant":
            raise broken(f"reply {one['id']}", "the assistant's message that it said is not there")
        if one["thumb"] not in (-1, 0, 1) or one["finish"] == "streaming" or abs(one["threads"] or 0) > 1 << 30:
            raise broken(f"reply {one['id']}", "thumb is 1, 0 or -1, it has ended, and threads are few")
    held: set[str] = set()
    for chat in chats:
        mine = set(chat["messages"])
        held |= mine
        for id in mine:
            if id not in known or known[id]["origin"] != chat["origin"] or (known[id]["parent"] or id) not in mine:
                raise broken(f"conversation {chat['id']}", f"message {show(id)}, or what it follows, is not in it")
        if chat["tip"] is not None and chat["tip"] not in mine:
            raise broken(f"conversation {chat['id']}", "the message that it stands at is not in it")
    if len(held) != len(known):
        raise broken(f"message {next(id for id in known if id not in held)}", "no conversation reaches it")
    for kind, found in (("reply", replies), ("conversation", chats)):
        if len({one["id"] for one in found}) != len(found):
            raise broken(kind, "an id stands twice")


def _in_order(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_id = {one["id"]: one for one in messages}
    return [by_id[id] for id in ordered({id: one["parent"] for id, one in by_id.items()})]
