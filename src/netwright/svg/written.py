"""A drawing as the text of an SVG, in as few bytes as the same shapes need.

    written(parse(svg))              # coordinates to a quarter of a pixel
    written(parse(svg), grid=10)     # to a tenth

VTracer repeats what SVG lets one leave out. Here coordinates are whole numbers of a fraction of a pixel, which the
`viewBox` scales (SVG 2, 8.2), each relative to the last; a curve that is straight is a line, a line along an axis has
one number, commands that repeat are not repeated, and colours have three digits where they can (SVG 2, 9.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from netwright.svg.outline import Drawing

Floats = NDArray[np.float64]
GRID = 4
"""Steps a pixel is divided into."""
_OF_CURVES = (slice(0, -1, 3), slice(1, None, 3), slice(2, None, 3), slice(3, None, 3))
STRAIGHT = 0.1
"""Pixels that the handles of a curve may lie off its chord for it to be written as a line."""


def written(drawing: Drawing, grid: int = GRID) -> str:
    """The text of a drawing, coordinates to 1 / `grid` of a pixel."""
    width, height = drawing.width, drawing.height
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    return f'{head} viewBox="0 0 {width * grid} {height * grid}">{"".join(patches(drawing, grid))}</svg>\n'


def patches(drawing: Drawing, grid: int) -> Iterator[str]:
    """The text of each patch; that of one without an area on the grid is empty."""
    outlines = [points for patch in drawing.patches for points in patch.outlines]
    bent = [points for patch in drawing.patches if patch.curved for points in patch.outlines]
    every = np.concatenate([*outlines, np.zeros((0, 2))])
    places = iter(np.rint(every * grid).astype(np.int64).tolist())
    lines = iter(
        straight(*(np.concatenate([points[at] for points in bent]) for at in _OF_CURVES)).tolist() if bent else []
    )
    for patch in drawing.patches:
        pen = _Pen()
        for points in patch.outlines:
            whole = list(islice(places, len(points)))
            if patch.curved:
                pen.curves(whole, list(islice(lines, len(points) // 3)))
            else:
                pen.lines(whole)
        fill = f' fill="{colour(patch.fill)}"' if patch.fill != "#000000" else ""
        yield f'<path d="{"".join(pen.said)}"{fill}/>' if pen.said else ""


def colour(fill: str) -> str:
    """A colour in three digits where that is the same."""
    short = len(fill) == 7 and fill[1] == fill[2] and fill[3] == fill[4] and fill[5] == fill[6]
    return "#" + fill[1::2] if short else fill


def straight(p0: Floats, p1: Floats, p2: Floats, p3: Floats) -> NDArray[np.bool_]:
    """Which curves, each of four (N, 2) points, are lines: both handles on the chord, but for STRAIGHT pixels."""
    chord = p3 - p0
    length = np.maximum(np.hypot(*chord.T), 1e-9)
    found = np.ones(len(chord), bool)
    for handle in (p1 - p0, p2 - p0):
        across = np.abs(chord[:, 0] * handle[:, 1] - chord[:, 1] * handle[:, 0]) / length
        along = (chord * handle).sum(1) / length
        found &= (across <= STRAIGHT) & (along >= -STRAIGHT) & (along <= length + STRAIGHT)
    return found


class _Pen:
    """Writes relative commands of one path, leaving out what follows from the last."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._at = (0, 0)
        self._command = ""

    def lines(self, points: list[list[int]]) -> None:
        steps = [(x - a, y - b) for (a, b), (x, y) in pairwise(points)]
        self._outline(points[0], [(step,) for step in steps])

    def curves(self, points: list[list[int]], straight: list[bool]) -> None:
        steps: list[tuple[tuple[int, int], ...]] = []
        for at, line in enumerate(straight):
            (a, b), (c, d), (e, f), (x, y) = points[3 * at : 3 * at + 4]
            steps.append(((x - a, y - b),) if line else ((c - a, d - b), (e - a, f - b), (x - a, y - b)))
        self._outline(points[0], steps)

    def _outline(self, start: list[int], steps: list[tuple[tuple[int, int], ...]]) -> None:
        """A closed outline of lines (one step) and curves (three, from the node before)."""
        steps = _joined(steps)
        if len(steps) < 2:  # no area
            return
        x, y = start
        self._say("m", x - self._at[0], y - self._at[1])
        self._command = "l"  # what follows a move is a line
        self._at = (x, y)
        if len(steps[-1]) == 1:  # closing draws it
            steps = steps[:-1]
        for step in steps:
            dx, dy = step[-1]
            if len(step) == 3:
                (a, b), (c, d), _ = step
                self._say("c", a, b, c, d, dx, dy)
            elif dy == 0:
                self._say("h", dx)
            elif dx == 0:
                self._say("v", dy)
            else:
                self._say("l", dx, dy)
        self.said.append("z")
        self._command = "z"

    def _say(self, command: str, *numbers: int) -> None:
        if command == self._command:
            self.said += [str(one) if one < 0 else f" {one}" for one in numbers]
        else:
            self.said.append(f"{command}{numbers[0]}")
            self.said += [str(one) if one < 0 else f" {one}" for one in numbers[1:]]
            self._command = command


def _joined(steps: list[tuple[tuple[int, int], ...]]) -> list[tuple[tuple[int, int], ...]]:
    """Without steps that go nowhere; lines that go on in the same direction are one."""
    found: list[tuple[tuple[int, int], ...]] = []
    for step in steps:
        if not any(x or y for x, y in step):
            continue
        if len(step) == 1 and found and len(found[-1]) == 1:
            (a, b), (x, y) = found[-1][0], step[0]
            if a * y == b * x and a * x + b * y > 0:
                found[-1] = ((a + x, b + y),)
                continue
        found.append(step)
    return found
