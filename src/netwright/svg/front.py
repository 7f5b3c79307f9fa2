"""The front of one image: real traces from the smallest to the most alike, one after another as they are made.

    for point in points(Subject(raster), tracer, mode="auto", more=8):
        point.traced.ssim, point.traced.bytes, point.preset

The menu comes first. Then come settings between those that are far apart on the front: a predictor chooses them where
there is one; else the widest gap is halved, between the settings at its two ends. Nothing here knows of a wish.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

from netwright.svg import propose
from netwright.svg.belief import Predictor
from netwright.svg.measured import Subject, Traced
from netwright.svg.setting import DEFAULT, RANGES, Setting, Wish, draw
from netwright.svg.tracer import TraceError

DRAWN = 256
"""Settings that a predictor is asked about."""
COARSER = {"color_precision": -1, "filter_speckle": 6, "layer_difference": 24}
"""What is added to a setting for a smaller SVG, and taken away for one that is more alike."""


@dataclass(frozen=True)
class Point:
    """One setting traced; the preset's name where it is one; what was predicted of it, where something was.

    `traced` is None where the tracer failed, and `why` says how.
    """

    setting: Setting
    preset: str
    traced: Traced | None
    guess: Mapping[str, float] | None = None
    why: str = ""


def points(
    subject: Subject, tracer: Any, mode: Wish = "auto", predictor: Predictor | None = None, more: int = 8,
    going: Callable[[], bool] = lambda: True,
) -> Iterator[Point]:  # fmt: skip
    """The presets of a mode, then `more` settings that fill the front. Ends early once `going()` is false."""
    about = predictor.features(subject.raster) if predictor is not None else None

    def measured(setting: Setting, preset: str = "") -> Point:
        guess = guesses(predictor, about, [setting])[0]
        try:
            return Point(setting, preset, subject.measure(tracer, setting), guess)
        except TraceError as fault:
            return Point(setting, preset, None, guess, str(fault))

    found: list[Point] = []
    for preset, setting in propose.menu(mode).items():
        if not going():
            return
        found.append(measured(setting, preset))
        yield found[-1]
    chosen = iter(_guessed(predictor, about, mode, more)) if predictor is not None else None
    others = iter(draw(DRAWN, mode, seed=2))
    for _ in range(more):
        tried = {propose.plain(point.setting) for point in found}
        ways_on = (propose.plain(one) for one in chain(chosen or _between(found), others))
        setting = next((one for one in ways_on if one not in tried), DEFAULT)
        if setting is DEFAULT or not going():
            return
        found.append(measured(setting))
        yield found[-1]


def efficient(traced: Sequence[Traced]) -> list[Traced]:
    """Those to which no other is both smaller and as much alike, smallest first."""
    best, kept = -math.inf, []
    for one in sorted(traced, key=lambda one: (one.bytes, -one.ssim)):
        if one.ssim > best:
            best = one.ssim
            kept.append(one)
    return kept


def guesses(predictor: Predictor | None, about: Any, settings: list[Setting]) -> list[Mapping[str, float] | None]:
    """What is predicted of each setting: ssim, bytes and paths, each with its low and high end."""
    if predictor is None:
        return [None] * len(settings)
    guess = predictor.predict(about, settings)
    names = [f"{what}{end}" for what in ("ssim", "bytes", "paths") for end in ("", "_low", "_high")]
    return [{name: float(getattr(guess, name)[at]) for name in names} for at in range(len(settings))]


def _guessed(predictor: Predictor, about: Any, mode: Wish, more: int) -> list[Setting]:
    """Settings whose predictions lie on a front, evenly spread over the logarithm of their bytes."""
    drawn = draw(DRAWN, mode, seed=1)
    told = predictor.predict(about, drawn)
    order = sorted(range(len(drawn)), key=lambda at: (told.bytes[at], -told.ssim[at]))
    best, front = -math.inf, []
    for at in order:
        if told.ssim[at] > best:
            best = told.ssim[at]
            front.append(at)
    sizes = [math.log(max(1.0, float(told.bytes[at]))) for at in front]
    wanted = [sizes[0] + (sizes[-1] - sizes[0]) * share / max(1, more - 1) for share in range(more)]
    picked = [min(front, key=lambda at: abs(sizes[front.index(at)] - size)) for size in wanted]
    rest = [at for at in front if at not in picked]
    return [drawn[at] for at in dict.fromkeys(picked + rest)]


def _between(found: Sequence[Point]) -> Iterator[Setting]:
    """Settings between the ends of the front's gaps, the widest first; then settings beyond its ends."""
    front = efficient([point.traced for point in found if point.traced is not None])
    for small, large in sorted(pairwise(front), key=lambda pair: math.log(pair[0].bytes / pair[1].bytes)):
        yield _middle(small.setting, large.setting)
        yield _middle(large.setting, small.setting)
    for end, sign in zip((front[0], front[-1]), (1, -1), strict=True) if front else ():
        yield _moved(end.setting, sign)


def _middle(one: Setting, other: Setting) -> Setting:
    """Half way between two settings, with the mode of the first."""
    values: dict[str, Any] = {"mode": one.mode}
    for name in RANGES:
        middle = (getattr(one, name) + getattr(other, name)) / 2
        values[name] = round(middle, 2) if name == "length_threshold" else int(middle + 0.5)
    return Setting(**values)


def _moved(setting: Setting, sign: int) -> Setting:
    values = setting.plain()
    for name, step in COARSER.items():
        low, high = RANGES[name]
        values[name] = int(min(high, max(low, values[name] + sign * step)))
    return Setting(**values)
