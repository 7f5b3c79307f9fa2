"""What is made of a trace without tracing again: it fits a budget, fills it, or loses what no limit needs.

    fitted(subject, traced, 20_000)              # coarser coordinates, fewer nodes and patches
    filled(subject, traced, 20_000)              # finer coordinates, or None
    trimmed(subject, traced, lambda one: one.ssim >= 0.95)     # the smallest for which that holds
    smoothed(subject, traced, 40)                # with at most so many corners

Each is drawn and measured like any other.
"""

from __future__ import annotations

from collections.abc import Callable

from netwright.svg import thin
from netwright.svg.measured import Subject, Traced
from netwright.svg.outline import outline
from netwright.svg.written import written

COARSE = (3, 2)
"""Steps a pixel is divided into where there are too few bytes."""
MANY = 20_000
"""Nodes from which one grid is tried alone."""
FINEST = 100
"""And at most where there are bytes to spend: curves stay smooth when they are magnified."""
STEPS = (0.06, 0.015)
"""Shares of the bytes that go at a time, while all holds; then again, finer."""


def fitted(subject: Subject, traced: Traced, most: int) -> list[Traced]:
    """Drawings for at most `most` bytes, as near to them as goes."""
    assert traced.drawing is not None
    found = []
    for grid in (1,) if traced.drawing.whole else COARSE if traced.nodes <= MANY else COARSE[-1:]:
        smaller = thin.thinned(traced.drawing, grid, most)
        if smaller is not None:
            found.append(subject.draw(traced, smaller, grid))
    return found


def filled(subject: Subject, traced: Traced, most: int) -> Traced | None:
    """The same drawing on the finest grid that fits, where that is finer."""
    assert traced.drawing is not None
    low, high = traced.grid, 1 if traced.drawing.whole else FINEST
    while low < high:
        middle = (low + high + 1) // 2
        if len(written(traced.drawing, middle).encode()) <= most:
            low = middle
        else:
            high = middle - 1
    return subject.draw(traced, traced.drawing, low) if low > traced.grid else None


def smoothed(subject: Subject, traced: Traced, corners: float) -> Traced | None:
    """With so many nodes and patches fewer that at most `corners` turn sharply."""
    assert traced.drawing is not None
    for smaller in thin.thinnings(traced.drawing, traced.grid, STEPS[0]):
        counts = outline(smaller)
        if counts.kinks * counts.nodes <= corners:
            return subject.draw(traced, smaller, traced.grid)
    return None


def trimmed(subject: Subject, traced: Traced, holds: Callable[[Traced], bool]) -> Traced | None:
    """With as few nodes and patches as `holds` allows, where that is fewer."""
    best = None
    for step in STEPS:
        start = (best or traced).drawing
        assert start is not None
        for smaller in thin.thinnings(start, traced.grid, step):
            one = subject.draw(traced, smaller, traced.grid)
            if not holds(one):
                break
            best = one
    return best
