"""What a thread does for a request: open the image, trace it, say what was found as plain values.

for item in front(job, upload, FrontWishes(), config, predictor): ...       # {"event": "point", "svg": ..., ...}
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from netwright.svg import front as fronts
from netwright.svg import propose
from netwright.svg.choose import Predictor, Tried, choose
from netwright.svg.front import Point
from netwright.svg.measured import Subject, Traced
from netwright.svg.raster import Raster, read_raster, smaller
from netwright.svg.server.bench import Item, Job, StoppedError
from netwright.svg.server.described import FrontWishes, Wishes
from netwright.svg.server.settings import Config
from netwright.svg.tracer import TraceError
from netwright.svg.wish import Wish, preset_of


def front(
    job: Job, content: bytes, wishes: FrontWishes, config: Config, predictor: Predictor | None = None
) -> Iterator[Item]:
    """The image, then every trace of its front, then how long it took. Raises UserError, TraceError."""
    begun = time.perf_counter()
    raster = opened(content, wishes.side, config)
    yield {"event": "image", **about(raster), "planned": len(propose.menu(wishes.mode)) + wishes.more}
    traced, why = 0, ""
    made = fronts.points(Subject(raster), job.tracer, wishes.mode, predictor, wishes.more, lambda: not job.stopped)
    for point in made:
        traced, why = traced + (point.traced is not None), point.why or why
        yield {"event": "point", "svg": point.traced.svg if point.traced else "", **tried(point)}
    if not traced and not job.stopped:
        raise TraceError(why)
    yield {"event": "done", "seconds": round(time.perf_counter() - begun, 3)}


def opened(content: bytes, side: int | None, config: Config) -> Raster:
    """The image of a request, made smaller where it has too many pixels. Raises UserError."""
    return smaller(read_raster(content, "image", config.pixels), config.traced, side)


def about(raster: Raster) -> dict[str, Any]:
    """What a client is told of an image."""
    width, height = raster.size
    return {"width": width, "height": height, "transparent": raster.transparent, "notes": list(raster.notes)}


def tried(point: Point) -> dict[str, Any]:
    """A trace without its SVG."""
    return {
        "preset": point.preset, "setting": point.setting.plain(), "why": point.why,
        "predicted": point.guess and {name: round(value, 5) for name, value in point.guess.items()},
        "measured": measured(point.traced) if point.traced else None,
    }  # fmt: skip


def measured(traced: Traced) -> dict[str, Any]:
    """What was measured of a trace."""
    return {
        "ssim": round(traced.ssim, 5), "ssim_active": round(traced.ssim_active, 5), "bytes": traced.bytes,
        "tracer_bytes": traced.tracer_bytes, "paths": traced.paths, "nodes": traced.nodes,
        "curved": round(traced.curved, 4), "kinks": round(traced.kinks, 4), "grid": traced.grid,
        "trace_s": round(traced.trace_s, 4),
    }  # fmt: skip


def trace(
    job: Job, content: bytes, wishes: Wishes, config: Config, predictor: Predictor | None = None
) -> Iterator[Item]:
    """What is traced, as it goes on, then the reply. Raises UserError, StoppedError."""
    raster = opened(content, wishes.side, config)
    wish = Wish(wishes.min_ssim, wishes.max_bytes, wishes.max_paths, wishes.mode, wishes.preset)
    yield {"event": "image", **about(raster)}

    def note(why: str) -> None:
        if job.stopped:
            raise StoppedError
        job.put({"event": "progress", "why": why})

    choice = choose(raster, wish, job.tracer, predictor, note=note)
    found = {
        "granted": choice.granted, "needed": choice.needed, "decisions": choice.decisions,
        "unfamiliar": choice.unfamiliar, "tried": [chosen(one) for one in choice.tried],
    }  # fmt: skip
    yield {"event": "done", "svg": choice.best.traced.svg, **about(raster), **chosen(choice.best), **found}


def chosen(one: Tried) -> dict[str, Any]:
    """A trace of a choice without its SVG."""
    guess = None if one.expected is None else asdict(one.expected)
    point = Point(one.traced.setting, preset_of(one.traced.setting), one.traced, guess, one.why)
    return {**tried(point), "verified": one.verified}
