"""Settings worth a thought: near good ones, between two of them, and spread over what a mode allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from netwright.svg.setting import MENU, RANGES, Setting, Wish, allowed, draw

_STARTS = (  # colour bits, layer, corner, length, iterations, splice, speckle
    (6, 23, 34, 9.91, 14, 1, 3), (5, 39, 26, 8.91, 4, 60, 2), (3, 5, 163, 9.85, 3, 47, 12), (6, 16, 30, 6.0, 10, 45, 4),
    (3, 4, 23, 7.03, 8, 97, 1), (5, 45, 89, 7.42, 1, 5, 3), (7, 2, 4, 8.22, 5, 43, 6), (3, 2, 65, 9.77, 2, 69, 6),
    (5, 16, 30, 6.0, 10, 45, 8), (7, 126, 82, 4.2, 9, 76, 0),
)  # fmt: skip
STARTS = tuple(
    Setting(color_precision=bits, layer_difference=layer, corner_threshold=corner, length_threshold=length,
            max_iterations=iterations, splice_threshold=splice, filter_speckle=speckle)
    for bits, layer, corner, length, iterations, splice, speckle in _STARTS
)  # fmt: skip
"""Ten of a hundred settings for curves, chosen one after another on 40 training images so that the best of them takes
the fewest bytes at the default's likeness (`benchmarks/svg.py`)."""
USELESS: Mapping[str, tuple[str, ...]] = {
    "polygon": ("corner_threshold", "length_threshold", "max_iterations", "splice_threshold", "path_precision"),
    "none": ("corner_threshold", "length_threshold", "max_iterations", "splice_threshold", "path_precision"),
    "spline": (),
}
"""Parameters that have no effect in a mode: VTracer's polygons have whole coordinates and are not subdivided."""
REWRITTEN = "path_precision"
"""Not searched over: the tracer's decimals are written anew (`written`), so that more of them change nothing."""


def menu(mode: Wish) -> dict[str, Setting]:
    """The presets of a mode."""
    return {name: one for name, one in MENU.items() if one.mode in allowed(mode)}


def spread(count: int, mode: Wish, seed: int = 0) -> list[Setting]:
    """Settings over all of a mode's ranges."""
    return [plain(one) for one in draw(count, mode, seed)]


def plain(setting: Setting) -> Setting:
    """The same setting without what has no effect."""
    default = Setting(mode=setting.mode)
    values: dict[str, Any] = {name: getattr(default, name) for name in (*USELESS[setting.mode], REWRITTEN)}
    return replace(setting, **values)


def near(settings: Sequence[Setting], each: int, random: np.random.Generator) -> list[Setting]:
    """So many neighbours of each: one to three parameters a step away, sometimes far."""
    return [_near(one, random) for one in settings for _ in range(each)]


def _near(setting: Setting, random: np.random.Generator) -> Setting:
    names = [name for name in RANGES if name not in (*USELESS[setting.mode], REWRITTEN)]
    values: dict[str, Any] = {}
    for name in random.choice(names, min(len(names), int(random.integers(1, 4))), replace=False):
        low, high = RANGES[name]
        value, width = float(getattr(setting, name)), high - low
        if random.random() < 0.15:
            value = low + random.random() * width
        elif name in ("layer_difference", "filter_speckle"):
            value = (value + 1) * float(np.exp(random.normal(0, 0.5))) - 1
        else:
            value += random.normal(0, max(0.12 * width, 0.8))
        values[str(name)] = _within(str(name), value)
    return plain(replace(setting, **values))


def between(first: Setting, second: Setting, steps: int = 12) -> list[Setting]:
    """Settings on the way from one to another of the same mode: sizes between theirs, more or less."""
    if first.mode != second.mode:
        return []
    return [_mixed(first, second, share) for share in np.linspace(0, 1, steps + 2)[1:-1]]


def _mixed(first: Setting, second: Setting, share: float) -> Setting:
    values: dict[str, Any] = {
        name: _within(name, getattr(first, name) * (1 - share) + getattr(second, name) * share) for name in RANGES
    }
    return replace(first, **values)


def _within(name: str, value: float) -> float | int:
    low, high = RANGES[name]
    value = min(high, max(low, value))
    return round(value, 2) if name == "length_threshold" else round(value)
