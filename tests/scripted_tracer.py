"""A tracer and a predictor without VTracer: squares whose number and size follow from the setting, and their truth."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np

from netwright.svg.setting import Setting
from netwright.svg.tracer import TraceError


def picture(side: int = 64) -> np.ndarray:
    """Circles and a gradient: something of which more of a square grid shows more."""
    y, x = np.mgrid[:side, :side] / side
    pixels = np.stack([255 * x, 255 * (np.hypot(x - 0.5, y - 0.5) < 0.3), 200 * y], 2)
    return pixels.astype(np.uint8)


class ScriptedTracer:
    """Draws a grid of squares with the picture's colours: the finer, the more bytes. `fails` says of what it fails."""

    def __init__(self, fails=lambda setting: False):
        self.fails, self.asked = fails, []

    def trace(self, pixels_HWC, setting: Setting) -> str:
        self.asked.append(setting)
        if self.fails(setting):
            raise TraceError("the tracer failed: scripted")
        height, width = pixels_HWC.shape[:2]
        cells = cells_of(setting)
        parts = [f'<svg version="1.1" xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">']
        edges = np.linspace(0, width, cells + 1).round().astype(int)
        digits = setting.path_precision if setting.mode == "spline" else 0
        for top, bottom in pairwise(edges):
            for left, right in pairwise(edges):
                red, green, blue = pixels_HWC[top:bottom, left:right, :3].reshape(-1, 3).mean(0).astype(int)
                corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
                if setting.mode == "spline":
                    x, y = (f"{one + 1 / 3:.{digits}f}" for one in corners[0])
                    way = f"M{x},{y} " + " ".join(
                        "C" + " ".join(f"{one + 1 / 3:.{digits}f}" for one in (a, b, c, d, c, d))
                        for (a, b), (c, d) in pairwise(corners)
                    )
                else:
                    way = f"M{left},{top} " + " ".join(f"L{x},{y}" for x, y in corners[1:])
                parts.append(f'<path d="{way} Z " fill="#{red:02x}{green:02x}{blue:02x}" transform="translate(0,0)"/>')
        return "\n".join([*parts, "</svg>\n"])

    def close(self) -> None:
        pass


def cells_of(setting: Setting) -> int:
    """How fine the grid is."""
    return max(1, round(setting.color_precision * (1 + (16 - setting.filter_speckle) / 16)))


def each_of(setting: Setting) -> int:
    """Bytes of a square."""
    return 41 if setting.mode != "spline" else 45


class ScriptedPredictor:
    """Knows the scripted tracer but for an error of its own on every image, which traces reveal."""

    digest = "scripted"

    def __init__(self, bytes_times: float = 1.4, unfamiliar: bool = False):
        self.bytes_times, self.unfamiliar, self.predicted = bytes_times, unfamiliar, 0

    def features(self, raster):
        return SimpleNamespace(unfamiliar=self.unfamiliar)

    def predict(self, about, settings):
        self.predicted += len(settings)
        cells = np.array([cells_of(one) for one in settings], float)
        each = np.array([each_of(one) for one in settings], float)
        size = (95 + each * cells**2) * self.bytes_times
        lost = 0.9 * np.exp(-cells / 6)
        guess = {"ssim": 1 - lost, "ssim_low": 1 - lost * math.e, "ssim_high": 1 - lost / math.e}
        guess |= {"bytes": size, "bytes_low": size / 2, "bytes_high": size * 2}
        guess |= {"paths": cells**2, "paths_low": cells**2 / 1.1, "paths_high": cells**2 * 1.1}
        guess |= {"corners": 4 * cells**2, "corners_low": 3 * cells**2, "corners_high": 5 * cells**2}
        return SimpleNamespace(**guess)
