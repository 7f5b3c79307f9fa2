"""Labels next to points without covering each other, the points, or the axes' edge.

Greedy: each label takes the first free place of a ring of places around its point, nearest ring first;
one that finds none is left out unless it must stand. This file knows rectangles, not what is labelled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Box = tuple[float, float, float, float]
_ANGLES = (20, -20, 160, -160, 90, -90, 50, -50, 130, -130)
_RADII_PT = (9, 20, 34, 50, 68, 88)


def place(axis: Any, points: Sequence[tuple[float, float, str, bool]], ink: str, muted: str, paper: str) -> None:
    """Label points (x, y, text, must) in their order; a label that must stand takes the least bad place.

    A point without text is only kept clear of.
    """
    figure = axis.get_figure()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # from here on, pixels are what they will be
    renderer = figure.canvas.get_renderer()
    scale = figure.dpi / 72
    inside = axis.get_window_extent(renderer)
    edge = (inside.x0, inside.y0, inside.x1, inside.y1)
    at = [tuple(axis.transData.transform((x, y))) for x, y, _, _ in points]
    taken: list[Box] = [(x - 6 * scale, y - 6 * scale, x + 6 * scale, y + 6 * scale) for x, y in at]
    for (x, y), (_, _, text, must) in zip(at, points, strict=True):
        if not text:
            continue
        drawn = axis.text(0, 0, text, fontsize=8.5, color=ink if must else muted, linespacing=1.05, transform=None)
        size = drawn.get_window_extent(renderer)
        width, height = size.width + 3 * scale, size.height + 2 * scale
        tries = [
            (_cost(box, taken, edge), radius, box)
            for radius in _RADII_PT
            for angle in _ANGLES
            for box in [_around((x, y), radius * scale, math.radians(angle), (width, height))]
        ]
        free = [one for one in tries if one[0] == 0]
        if not free and not must:
            drawn.remove()
            continue
        _, radius, box = free[0] if free else min(tries, key=lambda one: one[0])
        taken.append(box)
        drawn.remove()
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        offset = ((middle[0] - x) / scale, (middle[1] - y) / scale)
        leader = {"arrowstyle": "-", "color": muted, "linewidth": 0.6, "alpha": 0.7, "shrinkB": 5, "shrinkA": 0}
        axis.annotate(
            text, axis.transData.inverted().transform((x, y)), xytext=offset, textcoords="offset points",
            ha="center", va="center", fontsize=8.5, color=ink if must else muted, linespacing=1.05, zorder=5,
            arrowprops=leader if radius > _RADII_PT[1] or _stray(box, (x, y), at) else None,
            bbox={"facecolor": paper, "alpha": 0.8, "linewidth": 0, "pad": 0.6},
        )  # fmt: skip


def _around(point: tuple[float, float], radius: float, angle: float, size: tuple[float, float]) -> Box:
    """The box whose nearest side is `radius` from the point, in the direction `angle`."""
    (x, y), (width, height) = point, size
    dx, dy = math.cos(angle), math.sin(angle)
    middle_x, middle_y = x + dx * (radius + width / 2), y + dy * (radius + height / 2)
    return (middle_x - width / 2, middle_y - height / 2, middle_x + width / 2, middle_y + height / 2)


def _stray(box: Box, own: tuple[float, float], points: Sequence[tuple[float, ...]]) -> bool:
    """Whether a label stands as near to another point as to its own, so that a reader may take it for that one's."""

    def away(x: float, y: float) -> float:
        return math.hypot(max(box[0] - x, 0.0, x - box[2]), max(box[1] - y, 0.0, y - box[3]))

    return any(away(*other) < 1.3 * away(*own) for other in points if other != own)


def _cost(box: Box, taken: Sequence[Box], edge: Box) -> float:
    """Area of what the box covers, and of what sticks out of the axes (counted ten times)."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    return sum(_overlap(box, other) for other in taken) + 10 * (area - _overlap(box, edge))


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
