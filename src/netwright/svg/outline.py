"""What an SVG of the tracer is made of: patches with their outlines, how many nodes, and how smooth they run.

drawing = parse(svg)             # Drawing(width, height, patches)
outline(drawing)                 # Outline(paths=12, nodes=340, curved=1.0, kinks=0.2)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PATH = re.compile(r'<path d="([^"]*)"(?: fill="([^"]*)")?(?: transform="translate\((-?[\d.]+), ?(-?[\d.]+)\)")?\s*/>')
_SIZE = re.compile(r'<svg[^>]*\swidth="([\d.]+)"[^>]*\sheight="([\d.]+)"')
_COMMANDS = str.maketrans("MLCZ,", "     ")
KINK = 20.0
"""Degrees: a turn above this reads as a corner."""


@dataclass(frozen=True, eq=False)
class Patch:
    """Outlines of one colour, (K, 2) in pixels each, the last node on the first: a node a row, or three rows a Bezier
    curve after the first."""

    fill: str
    curved: bool
    outlines: list[NDArray[np.float64]] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Drawing:
    """An SVG of the tracer: its size in pixels, and its patches, the lowest first."""

    width: int
    height: int
    patches: list[Patch] = field(repr=False)

    @property
    def whole(self) -> bool:
        """Whether all coordinates are whole pixels."""
        return all(bool((one == np.rint(one)).all()) for patch in self.patches for one in patch.outlines)


@dataclass(frozen=True)
class Outline:
    """Counts of an SVG. `curved` is the share of segments that are Bezier curves; `kinks` the share of nodes at which
    the outline turns by more than KINK degrees: facets and staircases have many, drawn curves few."""

    paths: int
    nodes: int
    curved: float
    kinks: float


def parse(svg: str) -> Drawing:
    """An SVG that VTracer wrote: each closed outline is `M`, then lines alone or Bezier curves alone.

    Raises ValueError for any other.
    """
    size = _SIZE.search(svg)
    patches = []
    for path, fill, x, y in _PATH.findall(svg):
        shift, curved, outlines = np.array([float(x or 0), float(y or 0)]), "C" in path, []
        if curved and "L" in path:
            raise ValueError("an outline of lines and curves: VTracer writes none")
        for closed in path.split("M")[1:]:
            points = np.array(closed.translate(_COMMANDS).split(), np.float64).reshape(-1, 2)
            if len(points) > 1:
                closing = points[:0] if curved or (points[0] == points[-1]).all() else points[:1]
                outlines.append(np.concatenate([points, closing]) + shift)
        patches.append(Patch(fill or "#000000", curved, outlines))
    width, height = (round(float(one)) for one in size.groups()) if size else (0, 0)
    return Drawing(width, height, patches)


def outline(drawing: Drawing) -> Outline:
    """Counts of a drawing."""
    lines = curves = kinks = 0
    for patch in drawing.patches:
        for points in patch.outlines:
            arrive, leave = _bezier(points) if patch.curved else (np.diff(points, axis=0),) * 2
            kinks += _turns(arrive, leave)
            curves, lines = curves + patch.curved * len(arrive), lines + (not patch.curved) * len(arrive)
    nodes = lines + curves
    share = 1 / nodes if nodes else 0.0
    return Outline(len(drawing.patches), nodes, curves * share, kinks * share)


def _bezier(points: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Of each cubic curve of a chain the direction in which it ends, and in which it begins."""
    nodes, first, last = points[0::3], points[1::3], points[2::3]
    chord = np.diff(nodes, axis=0)
    begin, end = first - nodes[:-1], nodes[1:] - last
    begin = np.where((begin == 0).all(1, keepdims=True), chord, begin)  # a handle on its node has no direction
    return np.where((end == 0).all(1, keepdims=True), chord, end), begin


def _turns(arrive: NDArray[Any], leave: NDArray[Any]) -> int:
    """How many nodes of a closed outline turn by more than KINK degrees."""
    leave = np.roll(leave, -1, axis=0)
    length = np.sqrt((arrive**2).sum(1) * (leave**2).sum(1))
    cosine = (arrive * leave).sum(1)
    return int(((cosine < np.cos(np.radians(KINK)) * length) & (length > 0)).sum())
