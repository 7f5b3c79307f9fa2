"""A drawing with fewer nodes and patches, the cheapest first: by the area that changes colour for each byte saved.

    thinned(drawing, 4, 20_000)    # a Drawing that takes at most 20,000 bytes on a grid of a quarter pixel, or None

Two neighbouring segments of an outline become one, which leaves and arrives in the directions of the two (Visvalingam
and Whyatt 1993, "Line generalisation by repeated elimination of points", for chains of Bezier curves); or an outline
goes altogether, with its patch if it was the outer one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.svg.outline import Drawing, Patch
from netwright.svg.written import straight, written

Floats = NDArray[np.float64]
HEAD, FILL, CLOSED = 14, 12, 3
"""Bytes of a path without its outlines: tags and colour; and of an outline beside its numbers."""
AT_ONCE = 0.2
"""The share of what could go in a round that goes at most: what is left is judged anew."""
NEAR, CAREFUL = 0.03, 0.8
"""Of what is above a budget by more than NEAR of it, CAREFUL goes before bytes are counted again."""
LEAST_TRUST = 0.1
"""So much of what is asked for is asked for at least, where more went than should."""
LEAST = {True: 2, False: 3}
"""Segments of a closed outline at least: of curves, of lines."""
SEEN = 0.05
"""Share of the picture's area from which no change is made."""
STRETCH = (0.3, 2.0)
"""How much shorter or longer a handle may get than those of which it is made are together."""
_AT = np.array([1 / 3, 2 / 3, 1.0])


@dataclass
class _Segments:
    """All segments of a drawing, one outline after another: (N, 2) points in pixels, and whose they are."""

    start_N2: Floats
    first_N2: Floats
    second_N2: Floats
    outline_N: NDArray[np.intp]
    curved_N: NDArray[np.bool_]

    def __post_init__(self) -> None:
        n = len(self.outline_N)
        self.next_N = np.arange(1, n + 1)
        last_N = np.ones(n, bool)
        last_N[:-1] = self.outline_N[1:] != self.outline_N[:-1]
        begin_N = np.flatnonzero(np.r_[True, last_N[:-1]])
        self.next_N[last_N] = begin_N
        self.end_N2 = self.start_N2[self.next_N]

    def kept(self, keep_N: NDArray[np.bool_]) -> _Segments:
        return _Segments(self.start_N2[keep_N], self.first_N2[keep_N], self.second_N2[keep_N],
                         self.outline_N[keep_N], self.curved_N[keep_N])  # fmt: skip


def thinned(drawing: Drawing, grid: int, most: int) -> Drawing | None:
    """The drawing without what is missed least, in at most `most` bytes as near to them as goes; None where that is
    not possible."""
    size, trust = len(written(drawing, grid).encode()), 1.0
    while size > most:
        excess = size - most
        asked = trust * (excess if excess < NEAR * most else CAREFUL * excess)
        smaller = _smaller(drawing, grid, asked, asked + NEAR * most) or _smaller(drawing, grid, asked)
        if smaller is None:
            return None
        left = len(written(smaller, grid).encode())
        if left < (1 - NEAR) * most and trust > LEAST_TRUST:  # too much: less is asked for
            trust = max(LEAST_TRUST, trust * min(0.5, excess / (size - left)))
            continue
        trust = min(2.0, max(1.0, asked / max(1, size - left)))
        drawing, size = smaller, left
    return drawing


def thinnings(drawing: Drawing, grid: int, step: float) -> Iterator[Drawing]:
    """Drawings with fewer and fewer bytes, each about a share of `step` below the one before."""
    while (smaller := _smaller(drawing, grid, step * len(written(drawing, grid)))) is not None:
        drawing = smaller
        yield drawing


def _smaller(drawing: Drawing, grid: int, excess: float, largest: float = math.inf) -> Drawing | None:
    """A drawing with about `excess` bytes fewer, but at least a little smaller, by changes that save no more than
    `largest` bytes each; None where there is none."""
    one, patch_O, outer_O = _taken(drawing)
    if not len(one.outline_N):
        return None
    seen, changed = SEEN * drawing.width * drawing.height, False
    while excess > 0:
        found = _round(one, patch_O, outer_O, seen, grid, excess, largest)
        if found is None:
            break
        one, saved = found
        excess -= saved
        changed = True
    return _given(one, drawing, patch_O) if changed else None


def _taken(drawing: Drawing) -> tuple[_Segments, NDArray[np.intp], NDArray[np.bool_]]:
    """The segments; of each outline its patch, and whether it is the outer one."""
    none = np.zeros((0, 2))
    points: list[tuple[Floats, ...]] = [(none, none, none)]
    curved: list[bool] = []
    patch_O: list[int] = []
    outer_O: list[bool] = []
    for place, patch in enumerate(drawing.patches):
        for at, outline in enumerate(patch.outlines):
            if patch.curved:
                points.append((outline[0:-1:3], outline[1::3], outline[2::3]))
            else:
                start, third = outline[:-1], np.diff(outline, axis=0) / 3
                points.append((start, start + third, start + 2 * third))
            curved.append(patch.curved)
            patch_O.append(place)
            outer_O.append(at == 0)
    counts = [len(start) for start, _, _ in points[1:]]
    owner_N = np.repeat(np.arange(len(counts)), counts)
    start_N2, first_N2, second_N2 = (np.concatenate(each) for each in zip(*points, strict=True))
    segments = _Segments(start_N2, first_N2, second_N2, owner_N, np.array(curved, bool)[owner_N])
    return segments, np.array(patch_O, np.intp), np.array(outer_O, bool)


def _given(one: _Segments, drawing: Drawing, patch_O: NDArray[np.intp]) -> Drawing:
    """The segments as a drawing."""
    outlines: dict[int, list[Floats]] = {}
    changes = np.flatnonzero(np.diff(one.outline_N)) + 1
    for low, high in pairwise([0, *changes.tolist(), len(one.outline_N)]):
        place = int(patch_O[one.outline_N[low]])
        own = slice(low, high)
        if one.curved_N[low]:
            rows = np.stack([one.start_N2[own], one.first_N2[own], one.second_N2[own]], 1).reshape(-1, 2)
        else:
            rows = one.start_N2[own]
        outlines.setdefault(place, []).append(np.concatenate([rows, one.start_N2[low : low + 1]]))
    patches = [
        Patch(patch.fill, patch.curved, outlines[at]) for at, patch in enumerate(drawing.patches) if at in outlines
    ]
    return Drawing(drawing.width, drawing.height, patches)


def _round(
    one: _Segments, patch_O: NDArray[np.intp], outer_O: NDArray[np.bool_], seen: float, grid: int, excess: float,
    largest: float,
) -> tuple[_Segments, float] | None:  # fmt: skip
    """What is missed least goes, as far as one does not touch another; the segments left, and bytes saved."""
    n = len(one.outline_N)
    area_N, saved_N, first_N2, second_N2 = _merges(one, grid)
    count_O = np.bincount(one.outline_N, minlength=len(patch_O))
    may_N = count_O[one.outline_N] > np.where(one.curved_N, LEAST[True], LEAST[False])
    may_N &= (saved_N >= 1) & (saved_N <= largest) & (area_N <= seen)
    price_N = np.where(may_N, area_N / np.maximum(saved_N, 1), np.inf)
    before_N = np.empty(n)
    before_N[one.next_N] = price_N
    least_N = np.flatnonzero((price_N < price_N[one.next_N]) & (price_N <= before_N) & may_N)
    area_O, saved_O, may_O = _outlines(one, patch_O, outer_O, grid)
    price_O = area_O / np.maximum(saved_O, 1)
    gone_O = np.flatnonzero(may_O & (area_O <= seen) & (saved_O <= largest))
    price = np.concatenate([price_N[least_N], price_O[gone_O]])
    saved = np.concatenate([saved_N[least_N], saved_O[gone_O]])
    if not len(price):
        return None
    order = np.argsort(price, kind="stable")
    enough = int(np.searchsorted(np.cumsum(saved[order]), excess)) + 1
    order = order[: min(enough, max(1, int(AT_ONCE * len(order))))]
    drop_O = np.zeros(len(patch_O), bool)
    drop_O[gone_O[order[order >= len(least_N)] - len(least_N)]] = True
    lost_P = np.zeros(int(patch_O.max()) + 1, bool)
    lost_P[patch_O[drop_O & outer_O]] = True
    drop_O |= lost_P[patch_O]
    merge_N = least_N[order[order < len(least_N)]]
    start_N2, first, second = one.start_N2, one.first_N2.copy(), one.second_N2.copy()
    first[merge_N], second[merge_N] = first_N2[merge_N], second_N2[merge_N]
    keep_N = ~drop_O[one.outline_N]
    keep_N[one.next_N[merge_N]] = False
    left = _Segments(start_N2, first, second, one.outline_N, one.curved_N).kept(keep_N)
    return left, float(saved[order].sum())


def _merges(one: _Segments, grid: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Of each segment, made one with the next: the area that changes, bytes saved, and the handles of the new one."""
    after = one.next_N
    a0, a1, a2, a3 = one.start_N2, one.first_N2, one.second_N2, one.end_N2
    b1, b2, b3 = one.first_N2[after], one.second_N2[after], one.end_N2[after]
    long_N = _length(a0, a1, a2, a3)
    both_N = long_N + long_N[after]
    t = np.clip(long_N / np.maximum(both_N, 1e-9), 0.02, 0.98)[:, None]
    passed = [(t * u, _point(a0, a1, a2, a3, u)) for u in _AT]
    passed += [(t + (1 - t) * u, _point(a3, b1, b2, b3, u)) for u in _AT[:2]]
    first, second = _fitted(a0, (a1 - a0) / t, (b2 - b3) / (1 - t), b3, passed)
    for handle, end in ((first, a0), (second, b3)):  # a handle longer than the way would loop
        reach = np.maximum(np.hypot(*(handle - end).T), 1e-9)
        handle[:] = end + (handle - end) * np.minimum(1, 0.7 * both_N / reach)[:, None]
    straight = ~one.curved_N[:, None]
    first = np.where(straight, a0 + (b3 - a0) / 3, first)
    second = np.where(straight, a0 + 2 * (b3 - a0) / 3, second)
    off_N = sum(_off(point, (a0, first, second, b3), u) for u, point in passed)
    area_N = off_N / (len(passed) + 1) * both_N
    saved_N = _bytes(one, a0, a1, a2, a3, grid) + _bytes(one, a3, b1, b2, b3, grid)
    saved_N -= _bytes(one, a0, first, second, b3, grid)
    return area_N, saved_N, first, second


def _fitted(
    p0: Floats, leave: Floats, arrive: Floats, p3: Floats, passed: list[tuple[Any, Floats]]
) -> tuple[Floats, Floats]:
    """Handles along two directions, of the lengths with which a curve comes nearest to points at its parameters (least
    squares: Schneider 1990, "An algorithm for automatically fitting digitized curves", Graphics Gems)."""
    aa, ab, bb, ra, rb = (np.zeros(len(p0)) for _ in range(5))
    for u, point in passed:
        v = 1 - u
        a, b = 3 * v * v * u * leave, 3 * v * u * u * arrive
        rest = point - (v**3 + 3 * v * v * u) * p0 - (u**3 + 3 * v * u * u) * p3
        aa, ab, bb = aa + (a * a).sum(1), ab + (a * b).sum(1), bb + (b * b).sum(1)
        ra, rb = ra + (a * rest).sum(1), rb + (b * rest).sum(1)
    apart = aa * bb - ab * ab
    sure = apart > 1e-6 * aa * bb
    apart = np.where(sure, apart, 1.0)
    begin = np.where(sure, np.clip((bb * ra - ab * rb) / apart, *STRETCH), 1.0)[:, None]
    end = np.where(sure, np.clip((aa * rb - ab * ra) / apart, *STRETCH), 1.0)[:, None]
    return p0 + begin * leave, p3 + end * arrive


def _point(p0: Any, p1: Any, p2: Any, p3: Any, u: Any) -> Floats:
    v = 1 - u
    found: Floats = v**3 * p0 + 3 * v * v * u * p1 + 3 * v * u * u * p2 + u**3 * p3
    return found


def _off(point: Floats, curve: tuple[Floats, ...], u: Any) -> Floats:
    """How far points lie beside a curve at a parameter."""
    p0, p1, p2, p3 = curve
    v = 1 - u
    tangent = v * v * (p1 - p0) + 2 * v * u * (p2 - p1) + u * u * (p3 - p2)
    apart = point - _point(p0, p1, p2, p3, u)
    norm = np.hypot(*tangent.T)
    across = np.abs(tangent[:, 0] * apart[:, 1] - tangent[:, 1] * apart[:, 0]) / np.maximum(norm, 1e-9)
    found: Floats = np.where(norm > 1e-9, across, np.hypot(*apart.T))
    return found


def _length(p0: Floats, p1: Floats, p2: Floats, p3: Floats) -> Floats:
    """About the length of a curve: between its chord and the way over its handles."""
    way = sum(np.hypot(*step.T) for step in (p1 - p0, p2 - p1, p3 - p2))
    found: Floats = (np.hypot(*(p3 - p0).T) + way) / 2
    return found


def _bytes(one: _Segments, p0: Floats, p1: Floats, p2: Floats, p3: Floats, grid: int) -> Floats:
    """About the bytes of a segment: a sign or space and the digits of each number."""
    ends = np.where(one.curved_N[:, None], np.hstack([p1 - p0, p2 - p0, p3 - p0]), np.hstack([p3 - p0, 0 * p0, 0 * p0]))
    steps = np.abs(np.rint(ends * grid))
    digits = 2 + np.floor(np.log10(np.maximum(steps, 1)))
    line_N = ~one.curved_N | straight(p0, p1, p2, p3)
    digits[line_N[:, None] & (steps == 0)] = 0  # along an axis one number is enough
    digits[line_N & one.curved_N, :4] = 0
    digits[~one.curved_N, 2:] = 0
    found: Floats = digits.sum(1) * steps.any(1)
    return found


def _outlines(
    one: _Segments, patch_O: NDArray[np.intp], outer_O: NDArray[np.bool_], grid: int
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Of each outline the area that changes without it, the bytes it takes, and whether it may go: the lowest patch
    stays."""
    a0, a3, n = one.start_N2, one.end_N2, len(patch_O)
    mid = (one.first_N2 + one.second_N2) / 2
    twice_N = sum(p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0] for p, q in ((a0, mid), (mid, a3)))
    area_O = np.abs(np.bincount(one.outline_N, twice_N, n)) / 2
    there_O = np.bincount(one.outline_N, minlength=n) > 0
    saved_O = np.bincount(one.outline_N, _bytes(one, a0, one.first_N2, one.second_N2, a3, grid), n) + CLOSED * there_O
    patches = int(patch_O.max()) + 1
    outer_P = np.bincount(patch_O, np.where(outer_O, area_O, -area_O), patches)
    saved_P = np.bincount(patch_O, saved_O, patches) + HEAD + FILL
    area_O = np.where(outer_O, np.maximum(outer_P[patch_O], 0), area_O)
    saved_O = np.where(outer_O, saved_P[patch_O], saved_O)
    lowest = patch_O[one.outline_N].min()
    return area_O, saved_O, there_O & ~(outer_O & (patch_O == lowest))
