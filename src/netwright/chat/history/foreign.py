"""Conversations as other programs write them, as rows of ours: ChatGPT's trees, ShareGPT, messages.

    SHAPES["messages"](found, {"messages": [{"role": "user", "content": "Hi"}]}, "conversation 1")

Ids are made of what is there, so that the same file is the same conversations whenever it is imported. A system message
that a conversation begins with becomes its system prompt; pictures become a word in brackets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netwright.chat.history import bundle, nodes
from netwright.chat.history.bundle import Bundle, broken, ordered
from netwright.core.error import show
from netwright.data.text.conversations import ROLES

SPOKEN = {**ROLES, "tool": "tool", "function": "tool"}


def _chatgpt(found: Bundle, row: Mapping[str, Any], place: str) -> None:
    mapping = row["mapping"]
    if not isinstance(mapping, dict) or not all(isinstance(one, dict) for one in mapping.values()):
        raise broken(place, "its mapping is no mapping of messages")
    rank: dict[str, int] = {}
    parents: dict[str, str | None] = {}
    for id, one in mapping.items():
        parent, below = one.get("parent"), one.get("children", [])
        if not isinstance(parent, str | None) or not isinstance(below, list):
            raise broken(f"{place}, message {show(id)}", "parent is an id, children are a list of ids")
        if parent is not None and parent not in mapping:
            raise broken(f"{place}, message {show(id)}", f"it follows {show(parent)}, which is not there")
        parents[id] = parent
        rank |= {child: at for at, child in enumerate(below) if isinstance(child, str)}
    order = ordered({id: parents[id] for id in sorted(parents, key=lambda id: rank.get(id, 0))})
    given = row.get("conversation_id") or row.get("id")
    unique = given if isinstance(given, str) else json.dumps(mapping, sort_keys=True)
    id = _derived("chatgpt", unique)
    said = {at: _said(mapping[at].get("message"), f"{place}, message {show(at)}") for at in order}
    front, system = _front(order, parents, said)
    stands: dict[str | None, str | None] = {None: None}
    kept: list[dict[str, Any]] = []
    for at in order:
        told = said[at]
        stands[at] = stands[parents[at]]
        if told is None or at in front:
            continue
        one = bundle.message(id, stands[at], told[0], told[1], _time(mapping[at]["message"].get("create_time")))
        stands[at] = one["id"]
        kept.append(one)
        if told[0] == "assistant" and told[2]:
            _reply(found, one, told[2])
    tip = row.get("current_node")
    if tip is not None and not (isinstance(tip, str) and tip in mapping):
        raise broken(f"{place}, current_node", f"{show(tip)} is not there")
    end = stands[tip] if tip is not None else kept[-1]["id"] if kept else None
    _keep(found, id, kept, end, system, row)


def _said(message: Any, place: str) -> tuple[str, str, str] | None:
    """Role, text and model of a message of ChatGPT's; None for one that nobody sees."""
    if message is None:
        return None
    author = message.get("author") if isinstance(message, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    role = author.get("role") if isinstance(author, dict) else None
    if not isinstance(role, str) or role not in SPOKEN or not isinstance(content, dict):
        raise broken(place, "it has no role and content that are known")
    about = message.get("metadata")
    about = about if isinstance(about, dict) else {}
    parts = content.get("parts", [content.get("text", "")])
    if not isinstance(parts, list):
        raise broken(place, "its parts are no list")
    text = "\n".join(filter(None, (_part(one) for one in parts)))
    if not text or about.get("is_visually_hidden_from_conversation") is True:
        return None
    model = about.get("model_slug")
    return SPOKEN[role], text, model if isinstance(model, str) else ""


def _part(one: Any) -> str:
    """A part as text; of a picture or sound what it is."""
    if isinstance(one, str):
        return one
    if isinstance(one, dict):
        text = one.get("text")
        return text if isinstance(text, str) else f"[{show(one.get('content_type', one.get('type', 'a file')))}]"
    return ""


def _front(
    order: Sequence[str], parents: Mapping[str, str | None], said: Mapping[str, tuple[str, str, str] | None]
) -> tuple[set[str], str]:
    """The system message that the one conversation begins with, and its text: it is told, not said."""
    visible = [at for at in order if said[at] is not None]
    first = visible[0] if visible else None
    if first is None or said[first][0] != "system":  # type: ignore[index]
        return set(), ""
    above: dict[str | None, bool] = {None: False}
    for at in order:
        above[at] = above[parents[at]] or at == first
    if not all(above[at] for at in visible):
        return set(), ""
    return {first}, said[first][1]  # type: ignore[index]


def _sharegpt(found: Bundle, row: Mapping[str, Any], place: str) -> None:
    turns = row["conversations"]
    told = row.get("system")
    _line(found, row, place, _turns(turns, "from", "value", place), told if isinstance(told, str) else "", "sharegpt")


def _messages(found: Bundle, row: Mapping[str, Any], place: str) -> None:
    _line(found, row, place, _turns(row["messages"], "role", "content", place), "", "messages")


def _turns(turns: Any, who: str, what: str, place: str) -> list[tuple[str, str]]:
    if not isinstance(turns, list):
        raise broken(place, "its messages are no list")
    found = []
    for at, one in enumerate(turns, 1):
        role, said = (one.get(who), one.get(what)) if isinstance(one, dict) else (None, None)
        if not isinstance(role, str) or role.lower() not in SPOKEN:
            raise broken(f"{place}, message {at}, {who}", show(role))
        if isinstance(said, list):
            said = "\n".join(filter(None, (_part(part) for part in said)))
        if not isinstance(said, str):
            raise broken(f"{place}, message {at}, {what}", "it is no text")
        found.append((SPOKEN[role.lower()], said))
    return found


def _line(
    found: Bundle, row: Mapping[str, Any], place: str, turns: list[tuple[str, str]], system: str, shape: str
) -> None:
    """A conversation without branches. The same one is known again by its words."""
    if not system and turns and turns[0][0] == "system":
        system, turns = turns[0][1], turns[1:]
    id = _derived(shape, json.dumps([row.get("id"), system, turns]))
    kept: list[dict[str, Any]] = []
    for role, said in turns:
        nodes.checked(f"import, {place}", said)
        kept.append(bundle.message(id, kept[-1]["id"] if kept else None, role, said))
    _keep(found, id, kept, kept[-1]["id"] if kept else None, system, row)


def _keep(
    found: Bundle, id: str, kept: list[dict[str, Any]], tip: str | None, system: str, row: Mapping[str, Any]
) -> None:
    """A conversation, where something was said in it."""
    if kept:
        title = row.get("title")
        known = {one["id"]: one for one in kept}
        found.messages += known.values()
        changed = _time(row.get("update_time")) or _time(row.get("create_time"))
        told = title if isinstance(title, str) else ""
        found.conversations.append(bundle.conversation(id, list(known.values()), tip, system, told, changed))


def _reply(found: Bundle, one: Mapping[str, Any], model: str) -> None:
    told: dict[str, Any] = {
        "model": model,
        "artifact": "",
        "template": "",
        "system": "",
        "sampling": {},
        "seed": None,
        "precision": "",
    }
    told |= {"engine": "", "threads": None, "statistics": {}, "finish": "", "ended": None, "thumb": 0, "note": ""}
    found.replies.append({"id": _derived("reply", one["id"]), "message": one["id"], **told, "created": one["created"]})


def _time(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _derived(kind: str, text: str) -> str:
    """An id that is the same whenever the same is imported."""
    return hashlib.sha256(f"{kind} {text}".encode()).hexdigest()[:32]


SHAPES: Mapping[str, Callable[[Bundle, Mapping[str, Any], str], None]] = {
    "mapping": _chatgpt,
    "conversations": _sharegpt,
    "messages": _messages,
}
"""What a record has that is recognised by it -> who reads it."""
