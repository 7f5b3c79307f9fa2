"""What thumbs say of replies, as data for training: conversations to learn from, and replies to prefer.

    {"messages": [...]}                                                      good
    {"prompt": [...], "chosen": [{...}], "rejected": [{...}]}                preferences

The system prompt is the one that the reply was given under. Both shapes are read by `netwright.data.text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from netwright.chat.history import nodes
from netwright.chat.history.nodes import Conversation, Node


def turns(system: str, way: Sequence[Node]) -> list[dict[str, str]]:
    """Messages as training data has them, the system prompt first."""
    first = [{"role": "system", "content": system}] if system else []
    return [*first, *({"role": node.role, "content": node.content} for node in way)]


def good(one: Conversation, reached: Sequence[Node]) -> Iterator[dict[str, Any]]:
    """The ways to replies with a thumb up after which there is no other one; none that leads over a thumb down."""
    below = nodes.children(reached)
    praised: set[str] = set()
    for node in reversed(reached):  # children first
        later = any(child.id in praised for child in below.get(node.id, ()))
        if node.thumb > 0 or later:
            praised.add(node.id)
        if node.thumb > 0 and not later:
            way = nodes.path(reached, node.id)
            if all(before.thumb >= 0 for before in way):
                yield {"messages": turns(_system(one, node), way)}


def preferences(one: Conversation, reached: Sequence[Node]) -> Iterator[dict[str, Any]]:
    """Each reply with a thumb up beside each with a thumb down to the same message."""
    for parent, beside in nodes.children(reached).items():
        chosen = [node for node in beside if node.thumb > 0]
        rejected = [node for node in beside if node.thumb < 0]
        if parent is None or not chosen or not rejected:
            continue
        way = nodes.path(reached, parent)
        for better in chosen:
            for worse in rejected:
                pair = {"chosen": turns("", [better]), "rejected": turns("", [worse])}
                yield {"prompt": turns(_system(one, better), way), **pair}


def _system(one: Conversation, node: Node) -> str:
    """What the model was told when it said this; of a reply of which nothing is known, what it is told now."""
    known = [reply for reply in node.replies if reply.finish]
    return known[-1].system if known else one.system
