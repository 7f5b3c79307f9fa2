"""One setting on one image, measured: traced, drawn, compared and counted.

with Tracer() as tracer:
    subject = Subject(open_raster("logo.png"))
    subject.measure(tracer, Setting())     # Traced(svg=..., ssim=0.95, bytes=6400, ...)
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from netwright.svg import render
from netwright.svg.likeness import Reference
from netwright.svg.outline import Drawing, outline, parse
from netwright.svg.raster import Raster
from netwright.svg.setting import Setting
from netwright.svg.tracer import Tracer
from netwright.svg.written import GRID, written


@dataclass(frozen=True)
class Traced:
    """What came of one setting on one image: an SVG with its figures, and what it was written from. Times in seconds.

    `bytes` are those of `svg`; `tracer_bytes` those of the same shapes as VTracer writes them.
    """

    setting: Setting
    svg: str
    ssim: float
    ssim_active: float
    bytes: int
    tracer_bytes: int
    paths: int
    nodes: int
    curved: float
    kinks: float
    trace_s: float
    compare_s: float
    grid: int = 1
    """Steps a pixel is divided into in `svg`."""
    drawing: Drawing | None = field(default=None, repr=False, compare=False)

    @property
    def corners(self) -> float:
        """How many nodes turn sharply."""
        return self.kinks * self.nodes


class Subject:
    """An image with what every measurement of it needs."""

    def __init__(self, raster: Raster) -> None:
        self.raster = raster
        self.reference = Reference(raster.on_white_HWC)

    def measure(self, tracer: Tracer, setting: Setting) -> Traced:
        """Trace, draw with Skia on white, compare, count. Raises TraceError."""
        start = time.perf_counter()
        pixels = self.raster.pixels_HWC if self.raster.transparent else self.raster.on_white_HWC
        svg = tracer.trace(pixels, setting)
        drawing, took = parse(svg), time.perf_counter() - start
        traced = Traced(setting, "", 0.0, 0.0, 0, len(svg.encode()), 0, 0, 0.0, 0.0, took, 0.0)
        return self.draw(traced, drawing, 1 if drawing.whole else GRID)

    def draw(self, traced: Traced, drawing: Drawing, grid: int) -> Traced:
        """What came of a trace, as another drawing, written to 1 / `grid` of a pixel: drawn, compared and counted."""
        start = time.perf_counter()
        svg, counts = written(drawing, grid), outline(drawing)
        like = self.reference.compare(render.skia(svg, *self.raster.size))
        return replace(
            traced, svg=svg, grid=grid, drawing=drawing, ssim=like.ssim, ssim_active=like.ssim_active,
            bytes=len(svg.encode()), paths=svg.count("<path "), nodes=counts.nodes, curved=counts.curved,
            kinks=counts.kinks, compare_s=time.perf_counter() - start,
        )  # fmt: skip
