"""Chats that are kept: a content-addressed tree of messages in SQL, for the terminal, the server and the page.

    with History.open(Path("runs")) as history:
        for chat in history.conversations():
            print(chat.id[:8], chat.title)

`store` is the tree and what can be done with it, `streaming` a reply that is kept as it comes, `search` finds words,
`bundle`, `formats` and `reading` take chats out and in, `training` makes data of thumbs.
"""

from netwright.chat.history.nodes import About, Conversation, Node, Reply
from netwright.chat.history.store import TIP, History

__all__ = ["TIP", "About", "Conversation", "History", "Node", "Reply"]
