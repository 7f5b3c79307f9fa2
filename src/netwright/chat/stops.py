"""Texts before which a reply ends: what might become one is held back until it is clear, and is never shown."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Text that comes in pieces, cut before the first of some texts, wherever the pieces are cut."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = tuple(texts)
        self._held = ""
        self.stopped = False
        """Whether one of the texts has come."""

    def push(self, text: str) -> str:
        """What can be shown now that this came, too; nothing after the end."""
        if self.stopped:
            return ""
        self._held += text
        places = [at for at in (self._held.find(one) for one in self._texts) if at >= 0]
        if places:
            shown, self._held, self.stopped = self._held[: min(places)], "", True
            return shown
        keep = max((_begun(self._held, one) for one in self._texts), default=0)
        shown = self._held[: len(self._held) - keep]
        self._held = self._held[len(shown) :]
        return shown

    def end(self) -> str:
        """What was held back, when nothing more comes."""
        shown, self._held = self._held, ""
        return shown


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of the text begin the stop text."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
