"""Setting: the nine parameters of the tracer, their ranges, the menu of presets, and settings drawn at random.

    Setting(mode="polygon", color_precision=5)
    draw(256, mode="curves", seed=0)

The parameters are VTracer's own (visioncortex/vtracer, README): `mode` is what an outline is made of,
`filter_speckle` the side in pixels of the smallest patch kept, `color_precision` the bits kept of each colour
channel, `layer_difference` the step between colour layers, `corner_threshold` the degrees from which a turn is a
corner, `length_threshold` the pixels to which segments are subdivided, `max_iterations` how often,
`splice_threshold` the degrees at which a spline is cut, `path_precision` the decimals of a coordinate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from netwright.core.error import UserError, did_you_mean

Outline = Literal["spline", "polygon", "none"]
Wish = Literal["curves", "polygon", "auto"]

RANGES: Mapping[str, tuple[float, float]] = {
    "color_precision": (2, 8),
    "layer_difference": (1, 128),  # 0 makes the tracer divide by zero on some images
    "corner_threshold": (0, 180),
    "length_threshold": (3.5, 10),
    "max_iterations": (1, 20),
    "splice_threshold": (0, 180),
    "path_precision": (0, 8),
    "filter_speckle": (0, 16),
}
"""Lowest and highest value of each parameter but `mode`; all are whole numbers except `length_threshold`."""
MODES: tuple[Outline, ...] = ("spline", "polygon", "none")
COLUMNS = ("spline", "polygon", *RANGES)
"""What the columns of `vectors` are."""


@dataclass(frozen=True)
class Setting:
    """One choice of VTracer's parameters, by default that of its command line. Raises UserError outside RANGES."""

    mode: Outline = "spline"
    color_precision: int = 6
    layer_difference: int = 16
    corner_threshold: int = 60
    length_threshold: float = 4.0
    max_iterations: int = 10
    splice_threshold: int = 45
    path_precision: int = 2
    filter_speckle: int = 4

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError("mode", self.mode, did_you_mean(str(self.mode), MODES), "netwright svg trace --help")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            whole = name != "length_threshold"
            fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not fits or not low <= value <= high:
                kind = "a whole number" if whole else "a number"
                raise UserError(name, value, f"{kind} from {low:g} to {high:g}", "netwright svg trace --help")

    def plain(self) -> dict[str, Any]:
        """As a dictionary of plain values, which `Setting(**...)` takes back."""
        return asdict(self)


DEFAULT = Setting()
MENU: Mapping[str, Setting] = {
    "default": DEFAULT,
    "polygon": Setting(mode="polygon"),
    "fine": Setting(color_precision=8, layer_difference=4, filter_speckle=1, length_threshold=3.5),
    "photo": Setting(color_precision=8, layer_difference=48, corner_threshold=180, filter_speckle=10),
    "poster": Setting(color_precision=8, layer_difference=16, filter_speckle=4, corner_threshold=60),
    "smooth": Setting(corner_threshold=120, splice_threshold=90, path_precision=1),
    "sharp": Setting(corner_threshold=30, path_precision=1),
    "small": Setting(color_precision=4, layer_difference=32, filter_speckle=8, path_precision=1),
    "small polygon": Setting(mode="polygon", color_precision=4, layer_difference=32, filter_speckle=8),
    "fine polygon": Setting(mode="polygon", color_precision=8, layer_difference=8, filter_speckle=2),
}
"""Ten settings to fall back on: a choice is never worse than the best of these."""


def allowed(mode: Wish) -> tuple[Outline, ...]:
    """The outlines that a wish allows: `auto` leaves out pixel staircases, which nobody wishes for."""
    return {"curves": ("spline",), "polygon": ("polygon",), "auto": ("spline", "polygon")}[mode]  # type: ignore[return-value]


def draw(count: int, mode: Wish = "auto", seed: int = 0, modes: tuple[Outline, ...] | None = None) -> list[Setting]:
    """Settings spread evenly over the ranges (scrambled Sobol points; Owen 1998), the modes taking equal shares."""
    from scipy.stats import qmc

    modes = modes or allowed(mode)
    points = qmc.Sobol(len(RANGES) + 1, seed=seed).random(2 ** max(0, math.ceil(math.log2(max(1, count)))))[:count]
    return [_at(point, modes) for point in points]


def _at(point: NDArray[np.float64], modes: tuple[Outline, ...]) -> Setting:
    values: dict[str, Any] = {"mode": modes[min(int(point[0] * len(modes)), len(modes) - 1)]}
    for share, (name, (low, high)) in zip(point[1:], RANGES.items(), strict=True):
        if name == "length_threshold":
            values[name] = round(float(low + share * (high - low)), 2)
        elif name in ("layer_difference", "filter_speckle"):  # what they do goes with their logarithm
            shift = 1.0 - low
            value = math.exp(share * math.log(high + shift + 1.0)) - shift
            values[name] = int(min(high, max(low, math.floor(value))))
        else:
            values[name] = int(min(high, low + math.floor(share * (high - low + 1))))
    return Setting(**values)


def vectors(settings: list[Setting]) -> NDArray[np.float32]:
    """Settings as rows of numbers from 0 to 1, (N, 10): the columns are COLUMNS."""
    rows = np.empty((len(settings), len(COLUMNS)), np.float32)
    for row, setting in zip(rows, settings, strict=True):
        row[0], row[1] = setting.mode == "spline", setting.mode == "polygon"
        for column, (name, (low, high)) in enumerate(RANGES.items(), 2):
            row[column] = (getattr(setting, name) - low) / (high - low)
    return rows


assert tuple(field.name for field in fields(Setting)) == ("mode", *RANGES)
