"""A drawing of the tracer made to fit a budget of bytes without tracing again: coarser coordinates, then fewer patches.

    shaved(drawing, 20_000)        # (grid, places to leave out) for `written`; None where it cannot be done unseen
    filled(drawing, 20_000)        # the finest grid that fits

A patch left out shows what lies below it, as a larger speckle filter would, but one patch at a time, so that the
budget is filled.
"""

from __future__ import annotations

from netwright.svg import written
from netwright.svg.outline import Drawing

SEEN = 0.002
"""Share of the picture's area from which a patch is never left out."""
FINE = (100, 50, 20, 10, 8, 6, 5, 4)
"""Steps a pixel may be divided into where there are bytes to spend: curves stay smooth when they are magnified."""
COARSE = (4, 3, 2)
"""And where there are too few."""


def shaved(drawing: Drawing, most: int) -> tuple[int, set[int]] | None:
    """Grid and places of patches to leave out, for at most `most` bytes, as near to them as goes."""
    for grid in (1,) if drawing.whole else COARSE:
        sizes = [len(one.encode()) for one in written.patches(drawing, grid)]
        excess = len(written.written(drawing, grid).encode()) - most
        if excess <= 0:
            return grid, set()
    out: set[int] = set()
    areas = [one.area for one in drawing.patches]
    for at in sorted(range(1, len(areas)), key=lambda at: areas[at]):  # the first lies below all others
        if excess <= 0:
            break
        if areas[at] > SEEN * drawing.width * drawing.height:
            return None
        excess -= sizes[at]
        out.add(at)
    return (grid, out) if excess <= 0 else None


def filled(drawing: Drawing, most: int) -> int:
    """The finest grid with which a drawing that fits still does."""
    if drawing.whole:
        return 1
    return next((grid for grid in FINE if len(written.written(drawing, grid).encode()) <= most), FINE[-1])
