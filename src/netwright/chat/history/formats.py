"""Conversations as files: whole trees for netwright, one way through them for others.

    for text in written(history, "markdown", [chat]):
        print(text, end="")

| format | what is kept |
|---|---|
| json, jsonl | everything; of jsonl one message, reply or conversation stands in a line |
| chatgpt | the whole tree of each conversation, as ChatGPT exports its own |
| markdown, html | the whole tree, to be read: first the way to the tip, then each branch |
| sharegpt, messages | the way to the tip |
| good, preferences | what thumbs say of replies, as data for training: see `training` |
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from netwright.chat.history import bundle, nodes, training
from netwright.chat.history.bundle import FORMAT, VERSION
from netwright.chat.history.nodes import Conversation, Node
from netwright.chat.history.store import History
from netwright.core.error import UserError, did_you_mean

Ids = Sequence[str] | None
SHAREGPT = {"user": "human", "assistant": "gpt", "system": "system", "tool": "tool"}


def written(history: History, format: str, ids: Ids = None) -> Iterator[str]:
    """Conversations, all by default, in a format, piece by piece. Raises UserError for a format that is none."""
    if format not in FORMATS:
        raise UserError("--format", format, did_you_mean(format, FORMATS), "netwright history export --help")
    return FORMATS[format][1](history, ids)


def of_suffix(suffix: str) -> str | None:
    """The format whose files usually end so."""
    return next((name for name, (usual, _) in FORMATS.items() if suffix and usual == suffix.lower()), None)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _json(history: History, ids: Ids) -> Iterator[str]:
    found: dict[str, list[Any]] = {"conversations": [], "messages": [], "replies": []}
    for row in bundle.taken(history, ids):
        found[{"message": "messages", "reply": "replies"}.get(row.pop("kind"), "conversations")].append(row)
    yield json.dumps({"format": FORMAT, "version": VERSION, **found}, ensure_ascii=False, allow_nan=False, indent=1)
    yield "\n"


def _jsonl(history: History, ids: Ids) -> Iterator[str]:
    yield _line({"format": FORMAT, "version": VERSION}) + "\n"
    for row in bundle.taken(history, ids):
        yield _line(row) + "\n"


def _chatgpt(history: History, ids: Ids) -> Iterator[str]:
    between = "[\n"
    for one, reached in bundle.every(history, ids):
        yield between + _line(_mapping(one, reached))
        between = ",\n"
    yield "[]\n" if between == "[\n" else "\n]\n"


def _mapping(one: Conversation, reached: Sequence[Node]) -> dict[str, Any]:
    """A conversation as a tree of ChatGPT's: an empty root, the system prompt, the messages."""
    top = f"root-{one.id}"
    made: dict[str, dict[str, Any]] = {top: {"id": top, "message": None, "parent": None, "children": []}}

    def put(id: str, parent: str, role: str, content: str, created: float, **metadata: Any) -> None:
        said = {"author": {"role": role, "name": None, "metadata": {}}, "create_time": created, "metadata": metadata}
        said |= {"id": id, "content": {"content_type": "text", "parts": [content]}, "weight": 1.0, "recipient": "all"}
        made[id] = {"id": id, "message": said, "parent": parent, "children": []}
        made[parent]["children"].append(id)

    if one.system:
        put(f"system-{one.id}", top, "system", one.system, one.created)
        top = f"system-{one.id}"
    for node in reached:
        slug = {"model_slug": node.replies[-1].model} if node.replies and node.replies[-1].model else {}
        put(node.id, node.parent or top, node.role, node.content, node.created, **slug)
    about = {"title": one.title, "create_time": one.created, "update_time": one.changed, "mapping": made}
    return {**about, "current_node": one.tip or top, "conversation_id": one.id, "id": one.id}


def _ways(history: History, ids: Ids) -> Iterator[tuple[Conversation, list[Node]]]:
    for one, reached in bundle.every(history, ids):
        if one.tip is not None:
            yield one, nodes.path(reached, one.tip)


def _sharegpt(history: History, ids: Ids) -> Iterator[str]:
    between = "[\n"
    for one, way in _ways(history, ids):
        turns = [{"from": SHAREGPT[node.role], "value": node.content} for node in way]
        system = {"system": one.system} if one.system else {}
        yield between + _line({"id": one.id, "title": one.title, **system, "conversations": turns})
        between = ",\n"
    yield "[]\n" if between == "[\n" else "\n]\n"


def _messages(history: History, ids: Ids) -> Iterator[str]:
    for one, way in _ways(history, ids):
        turns = training.turns(one.system, way)
        yield _line({"id": one.id, "title": one.title, "messages": turns}) + "\n"


def _markdown(history: History, ids: Ids) -> Iterator[str]:
    for one, reached in bundle.every(history, ids):
        yield f"# {one.title}\n\n{_when(one.created)}{''.join(f', #{tag}' for tag in one.tags)}\n\n"
        if one.system:
            yield "".join(f"> {line}\n" for line in one.system.splitlines()) + "\n"
        for heading, line in _lines(reached, one.tip):
            yield f"## {heading}\n\n" if heading else ""
            for node in line:
                yield f"{'###' if heading else '##'} {_who(node)}\n\n{node.content}\n\n"


def _html(history: History, ids: Ids) -> Iterator[str]:
    from netwright.core import page

    def chats() -> Iterator[dict[str, Any]]:
        for one, reached in bundle.every(history, ids):
            lines = [
                {"heading": heading, "nodes": [{"who": _who(node), "node": node} for node in line]}
                for heading, line in _lines(reached, one.tip)
            ]
            yield {"about": one, "when": _when(one.created), "lines": lines}

    yield from page.templates("netwright.chat.history").get_template("chats.html").generate(chats=chats())
    yield "\n"


def _lines(reached: Sequence[Node], tip: str | None) -> Iterator[tuple[str, list[Node]]]:
    """The way to the tip without a heading, then each branch with one that says where it leaves."""
    known = {one.id: one for one in reached}
    numbers: dict[str | None, int] = {None: 0}
    for one in reached:
        numbers[one.id] = numbers[one.parent] + 1
    for at, line in enumerate(nodes.branches(reached, tip)):
        before = known.get(line[0].parent or "") if line else None
        after = (
            f"after message {numbers[before.id]}, {nodes.title_of(before.content)}" if before else "at the beginning"
        )
        yield (f"Branch {after}" if at else ""), line


def _who(node: Node) -> str:
    model = node.replies[-1].model if node.replies else ""
    return f"{node.role}{f' {node.name}' if node.name else ''}{f' ({model})' if model else ''}"


def _when(created: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(created, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):  # a time that somebody imported
        return "at an unknown time"


def _good(history: History, ids: Ids) -> Iterator[str]:
    return (_line(row) + "\n" for one, found in bundle.every(history, ids) for row in training.good(one, found))


def _preferences(history: History, ids: Ids) -> Iterator[str]:
    return (_line(row) + "\n" for one, found in bundle.every(history, ids) for row in training.preferences(one, found))


FORMATS: dict[str, tuple[str, Callable[[History, Ids], Iterator[str]]]] = {
    "json": (".json", _json),
    "jsonl": (".jsonl", _jsonl),
    "markdown": (".md", _markdown),
    "html": (".html", _html),
    "sharegpt": ("", _sharegpt),
    "chatgpt": ("", _chatgpt),
    "messages": ("", _messages),
    "good": ("", _good),
    "preferences": ("", _preferences),
}
"""Name -> how such files usually end, and who writes them."""
