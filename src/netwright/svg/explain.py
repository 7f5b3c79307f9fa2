"""What each parameter of the tracer buys for one image: one at a time is varied around a setting.

    steps = explain(raster, setting, tracer)
    for effect in effects(steps, setting): effect.parameter, effect.saves

Each step is a real trace; where that would take longer than a person waits, it is predicted, with an interval that
the traces made so far have narrowed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from netwright.svg import render
from netwright.svg.belief import Belief, Expected, Predictor
from netwright.svg.measured import Subject, Traced
from netwright.svg.propose import USELESS
from netwright.svg.raster import Raster
from netwright.svg.setting import Setting
from netwright.svg.tracer import TraceError
from netwright.svg.wish import SAME

VALUES: Mapping[str, tuple[Any, ...]] = {
    "mode": ("spline", "polygon"),
    "color_precision": (2, 3, 4, 5, 6, 8),
    "layer_difference": (1, 4, 8, 16, 32, 64, 128),
    "corner_threshold": (0, 30, 60, 90, 120, 180),
    "length_threshold": (3.5, 4.0, 5.0, 7.0, 10.0),
    "max_iterations": (1, 5, 10, 20),
    "splice_threshold": (0, 20, 45, 90, 180),
    "path_precision": (0, 1, 2, 3, 4, 8),
    "filter_speckle": (0, 1, 2, 4, 8, 16),
}
"""Values that are tried of each parameter; those without effect in the setting's mode are left out."""
PATIENCE = 30.0
"""Seconds of tracing after which predictions take over."""


@dataclass(frozen=True)
class Step:
    """One parameter at one value, the others as in the setting: a trace, or what is expected of it."""

    parameter: str
    value: Any
    setting: Setting
    traced: Traced | None
    expected: Expected | None

    @property
    def best(self) -> Traced | Expected:
        """The trace where there is one."""
        found = self.traced or self.expected
        assert found is not None
        return found


@dataclass(frozen=True)
class Effect:
    """What one parameter does around a setting. Shares are of the setting's own bytes and paths."""

    parameter: str
    here: Any
    ssim_low: float
    ssim_high: float
    bytes_low: float
    bytes_high: float
    paths_low: float
    paths_high: float
    smaller: Step | None
    """The smallest that is no less alike, if it is smaller than here."""
    better: Step | None
    """The most alike, if it is more alike than here."""


def count(setting: Setting) -> int:
    """How many settings `explain` looks at."""
    return 1 + len(_around(setting))


def explain(
    raster: Raster, setting: Setting, tracer: Any, predictor: Predictor | None = None, patience: float = PATIENCE,
    advance: Callable[..., None] = lambda **_: None,
) -> list[Step]:  # fmt: skip
    """Steps around a setting, the setting itself first (its parameter is ""). Raises TraceError where it fails."""
    subject = Subject(raster)
    here = subject.measure(tracer, setting)
    belief = Belief(predictor, predictor.features(raster)) if predictor is not None else None
    if belief is not None:
        belief.add([setting, *(one for _, _, one in _around(setting))])
        belief.learn(here)
    advance(note="the setting itself")
    steps = [Step("", None, setting, here, None)]
    spent = 0.0
    for name, value, other in _around(setting):
        advance(note=f"{name} {value}")
        traced = None
        if other == setting:
            traced = here
        elif belief is None or spent < patience:
            try:
                traced = subject.measure(tracer, other)
            except (TraceError, render.RenderError, ValueError):
                continue
            spent += traced.trace_s + traced.compare_s
            if belief is not None:
                belief.learn(traced)
        steps.append(Step(name, value, other, traced, None))
    return [
        step if step.traced is not None or belief is None else replace(step, expected=belief.expected(step.setting))
        for step in steps
    ]


def effects(steps: Sequence[Step]) -> list[Effect]:
    """Each parameter's effect, the one that moves the bytes most first."""
    here = steps[0].best
    found = []
    for name in dict.fromkeys(step.parameter for step in steps[1:]):
        own = [step for step in steps if step.parameter == name]
        alike = [one.best.ssim for one in own]
        sizes = [one.best.bytes / here.bytes for one in own]
        paths = [max(1, one.best.paths) / max(1, here.paths) for one in own]
        fair = [one for one in own if one.best.ssim >= here.ssim - SAME and one.best.bytes < here.bytes]
        more = [one for one in own if one.best.ssim > here.ssim]
        found.append(Effect(
            name, getattr(steps[0].setting, name), min(alike), max(alike), min(sizes), max(sizes), min(paths),
            max(paths), min(fair, key=lambda one: one.best.bytes, default=None),
            max(more, key=lambda one: one.best.ssim, default=None),
        ))  # fmt: skip
    return sorted(found, key=lambda one: -math.log(one.bytes_high / one.bytes_low))


def sentence(effect: Effect, here: Traced | Expected) -> str:
    """What an effect buys, for a person."""
    told: list[str] = []
    for step in (effect.smaller, effect.better):
        if step is None or any(str(step.value) in one for one in told):
            continue
        one = step.best
        share, gain = one.bytes / here.bytes - 1, one.ssim - here.ssim
        told.append(
            f"{step.value}: {100 * share:+.0f} % bytes, {gain:+.4f} SSIM" + ("" if step.traced else " (predicted)")
        )
    return "; ".join(told) or "nothing better than here"


def _around(setting: Setting) -> list[tuple[str, Any, Setting]]:
    found = []
    for name, values in VALUES.items():
        if name in USELESS[setting.mode]:
            continue
        own = getattr(setting, name)
        spots = sorted({*values, own}) if name != "mode" else list(values)
        found += [(name, value, replace(setting, **{name: value})) for value in spots]
    return found
