"""What the page is shown of chats, as plain JSON: a line of the list, a whole conversation, a message and its reply."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from netwright.chat.history import nodes
from netwright.chat.history.nodes import About, Conversation, Node
from netwright.chat.history.store import History

Json = dict[str, Any]
SETTINGS = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p", "max_tokens": "max_tokens",
    "repetition_penalty": "penalty", "frequency_penalty": "frequency", "presence_penalty": "presence", "seed": "seed",
    "stop": "stop",
}  # fmt: skip
"""What the page calls a setting of `sampling.Sampling`: as OpenAI and transformers do."""


def line(one: Conversation) -> Json:
    """A conversation in the list."""
    return {
        "id": one.id, "title": one.title, "pinned": one.pinned, "tags": list(one.tags), "system": one.system,
        "tip": one.tip, "updated": time(one.changed), "messages": one.count,
    }  # fmt: skip


def conversation(history: History, id: str) -> Json:
    """A conversation with the messages of the branch that is shown."""
    one = history.conversation(id)
    return {**line(one), "messages": path(history, id, one.tip)}


def path(history: History, id: str, tip: str | None) -> list[Json]:
    """The messages that lead to a tip, each with its siblings and the newest reply that said it."""
    all = history.nodes(id)
    below = nodes.children(all)
    return [message(node, [one.id for one in below[node.parent]]) for node in nodes.path(all, tip)]


def message(node: Node, siblings: list[str]) -> Json:
    """A message, what else was said in its place, and its newest reply."""
    last = node.replies[-1] if node.replies else None
    reply = None if last is None else {
        **about(last), "id": last.id, "finish": last.finish, "statistics": dict(last.statistics) or None,
        "thumb": last.thumb, "note": last.note,
    }  # fmt: skip
    return {
        "id": node.id, "parent": node.parent, "role": node.role, "content": node.content, "siblings": siblings,
        "updated": time(node.created), "reply": reply,
    }  # fmt: skip


def about(one: About) -> Json:
    """Where a reply comes from: model, engine, settings."""
    return {
        "model": one.model, "artifact": one.artifact, "precision": one.precision, "engine": one.engine,
        "threads": one.threads, "sampling": named(one.sampling), "seed": one.seed, "system": one.system,
    }  # fmt: skip


def named(told: Mapping[str, Any]) -> Json:
    """Settings of a reply, called as the page calls them."""
    return {name: told[own] for name, own in SETTINGS.items() if own in told}


def time(seconds: float) -> str:
    """ISO 8601, in UTC."""
    try:
        told = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):  # a file that was imported may say anything
        told = datetime.datetime.fromtimestamp(0, datetime.UTC)
    return told.isoformat(timespec="seconds")
