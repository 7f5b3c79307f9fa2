"""Bytes that are alive, over time, by whatever key tells one block from another while both live.

    alive.born(key, 4096.0); alive.died(key); alive.peak

It knows no allocator: blocks have no place, and so no gaps between them.
"""

from __future__ import annotations

import itertools


class Alive:
    """Bytes that are alive, over time."""

    def __init__(self) -> None:
        self._changes: list[float] = []
        self._births: dict[int, int] = {}

    def __contains__(self, key: int) -> bool:
        return key in self._births

    @property
    def now(self) -> float:
        return sum(self._changes)

    @property
    def peak(self) -> float:
        """The most that were alive at once."""
        return max(itertools.accumulate(self._changes), default=0.0)

    def born(self, key: int, size: float) -> None:
        self._births[key] = len(self._changes)
        self._changes.append(size)

    def died(self, key: int) -> None:
        if key in self._births:
            self._changes.append(-self._changes[self._births.pop(key)])

    def forget(self, key: int) -> None:
        """As if it had never been born."""
        if key in self._births:
            self._changes[self._births.pop(key)] = 0.0
