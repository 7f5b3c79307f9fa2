"""Every figure, in one style: readable at 390 px, safe for colour-blind readers, no decoration.

    html = svg_text(front(points, x="latency", y="accuracy"))
    save_png(curves(run.metrics()), run.folder / "plots" / "curves.png")

The functions take rows, measurements and arrays, and return a matplotlib figure (extra "plot"). Measured
values are filled circles, predicted ones open diamonds, everywhere. This file does not know what was
measured, nor where a figure is shown; it never opens a window and leaves matplotlib's global state alone.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core import label
from netwright.core.figure import (
    COLOURS,
    INK,
    MUTED,
    PAPER,
    WIDTH_IN,
    few_ticks,
    log_axis,
    panels,
    save_png,
    spans_decades,
    svg_text,
    ticks,
)
from netwright.core.measurement import QUANTITIES, Measurement, readable, words
from netwright.core.stats import running_mean

__all__ = ["Dot", "Point", "bars", "curves", "estimates", "front", "grid", "plan", "range_test", "roofline",
           "save_png", "svg_text", "trend"]  # fmt: skip

_MEASURED = {"marker": "o", "markersize": 7, "markeredgecolor": PAPER, "markeredgewidth": 1.2}
_PREDICTED = {"marker": "D", "markersize": 6, "markerfacecolor": PAPER, "markeredgewidth": 1.8}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One candidate in a scatter: its label, its figures by quantity, and whether the front holds it."""

    label: str
    figures: Mapping[str, Measurement]
    on_front: bool = False


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One kind of operator under a roofline: its arithmetic, the bytes it moves, its time, its share of all time."""

    label: str
    flops: float
    bytes: float
    seconds: float
    share: float


def roofline(dots: Sequence[Dot], roofs: Mapping[str, float], bandwidth: float, title: str = "Roofline") -> Any:
    """Operators at their FLOP per byte and the rate they reach, under a device's roofs (Williams 2009).

    `roofs` are FLOP/s by dtype, `bandwidth` is in B/s. A dot's area is its share of the time.
    """
    with panels([3.4]) as (figure, (axis,)):
        ridges = [roof / bandwidth for roof in roofs.values()]
        intensities = [dot.flops / dot.bytes for dot in dots] + ridges
        left, right = min(intensities) / 3, max(intensities) * 3
        x = np.geomspace(left, right, 200)
        for at, (dtype, roof) in enumerate(roofs.items()):
            colour = COLOURS[(at + 1) % len(COLOURS)]
            axis.plot(x, np.minimum(roof, x * bandwidth), color=colour, label=f"{dtype} {readable(roof, 'FLOP/s')}")
        axis.plot([], [], color="none", label=readable(bandwidth, "B/s"))
        for dot in dots:
            size = 20 + 500 * dot.share
            axis.scatter(
                dot.flops / dot.bytes, dot.flops / dot.seconds, s=size, color=COLOURS[0], alpha=0.55,
                edgecolor=PAPER, zorder=3,
            )  # fmt: skip
        reached = [dot.flops / dot.seconds for dot in dots]
        axis.set_xlim(left, right)
        axis.set_ylim(min([*reached, left * bandwidth]) / 2, 4 * max(roofs.values(), default=bandwidth))
        log_axis(axis, "x", "")
        log_axis(axis, "y", "FLOP/s")
        for (x_place, y_place), said in _together(dots).items():
            axis.annotate("\n".join(said[:4]), (x_place, y_place), xytext=(9, -4), textcoords="offset points",
                          fontsize=8, color=INK, va="top")  # fmt: skip
        axis.set_title("\n".join(textwrap.wrap(title, 46)))
        axis.set_xlabel("FLOP per byte")
        axis.set_ylabel("rate reached")
        axis.legend(frameon=False, loc="upper left", fontsize=8)
    return figure


def _together(dots: Sequence[Dot]) -> dict[tuple[float, float], list[str]]:
    """Labels of the largest dots by place; those within a third of a decade share one place."""
    found: dict[tuple[float, float], list[str]] = {}
    for dot in sorted(dots, key=lambda dot: -dot.share)[:8]:
        place = (dot.flops / dot.bytes, dot.flops / dot.seconds)
        near = [at for at in found if all(abs(math.log10(a / b)) < 0.33 for a, b in zip(at, place, strict=True))]
        found.setdefault(near[0] if near else place, []).append(f"{dot.label} {100 * dot.share:.0f} %")
    return found


def curves(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Training curves: panels of loss, accuracy or correlation, learning rate, speed and memory, over the steps.

    `rows` are of metrics.jsonl and pace.jsonl. A dense series is drawn raw and pale with its running mean over it,
    a sparse one (validation) with its points.
    """
    series = {
        title: found
        for title, words in (
            ("Loss", ("loss",)),
            ("Accuracy", ("accuracy",)),
            ("Correlation", ("correlation",)),
            ("Learning rate", ("lr", "learning_rate")),
            ("Examples per second", ("examples_per_second",)),
            ("Memory", ("memory",)),
        )
        if (found := _series(rows, words))
    }
    heights = {"Loss": 2.0, "Accuracy": 2.0, "Correlation": 2.0}
    with panels([heights.get(title, 1.1) for title in series] or [2.0]) as (figure, axes):
        for axis, (title, found) in zip(axes, series.items(), strict=False):
            axis.set_title(title)
            for at, (name, (steps, values)) in enumerate(found.items()):
                legend = name.replace("_", " ") if len(found) > 1 else None
                noisy = title not in ("Learning rate", "Memory")
                _curve(axis, steps, values, COLOURS[at % len(COLOURS)], legend, noisy=noisy)
            if title == "Accuracy":
                axis.yaxis.set_major_formatter(ticks("fraction"))
                every = np.concatenate([values for _, values in found.values()])
                axis.set_ylim(max(0.0, float(np.quantile(every, 0.05)) - 0.05), 1.005)
            elif title in ("Memory", "Examples per second"):
                axis.yaxis.set_major_locator(few_ticks(3))
                axis.yaxis.set_major_formatter(ticks("B" if title == "Memory" else "ratio"))
                axis.set_ylim(bottom=0)
            elif title == "Loss" and spans_decades([v for _, values in found.values() for v in values]):
                log_axis(axis, "y", "")
            if len(found) > 1:
                axis.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
        axes[-1].set_xlabel("step")
        axes[-1].margins(x=0.02)
    return figure


def estimates(measured_N: NDArray[Any], predicted_N: NDArray[Any], groups: Sequence[str], quantity: str) -> Any:
    """Estimated against measured: where rows lie, and of each group its mean, named; on the line all is right."""
    with panels([4.6]) as (figure, (axis,)):
        low = float(min(measured_N.min(), predicted_N.min()))
        axis.plot([low, 1], [low, 1], color=MUTED, linewidth=1, zorder=1)
        shown = axis.hexbin(measured_N, predicted_N, gridsize=36, mincnt=1, bins="log", cmap="Blues", linewidths=0.2)
        shown.set_clim(0.3, None)
        names = np.asarray(groups)
        places = []
        for name in np.unique(names):
            x, y = float(measured_N[names == name].mean()), float(predicted_N[names == name].mean())
            axis.plot(x, y, color=COLOURS[1], linestyle="none", **_MEASURED)
            places.append((x, y, str(name), False))
        axis.set_title(f"Estimated against measured {quantity}")
        axis.set_xlabel(f"measured {quantity}; dots are means of families")
        axis.set_ylabel("estimated")
        label.place(axis, places, INK, MUTED, PAPER)
    return figure


def front(points: Sequence[Point], x: str, y: str) -> Any:
    """Two quantities of every candidate, with intervals both ways, and the line through the front."""
    with panels([4.4]) as (figure, (axis,)):
        shown = [point for point in points if x in point.figures and y in point.figures]
        for point in shown:
            _cross(axis, point, x, y)
        for predicted in (False, True):  # one line each: what is measured does not lean on what is not
            best = sorted(
                (p.figures[x].value, p.figures[y].value)
                for p in shown
                if p.on_front and _predicted(p, x, y) == predicted
            )
            if len(best) > 1:
                axis.plot(*zip(*best, strict=True), color=COLOURS[predicted], linewidth=9, alpha=0.14, zorder=1)
        _quantity_axis(axis, "x", x, [point.figures[x] for point in shown])
        _quantity_axis(axis, "y", y, [point.figures[y] for point in shown])
        axis.set_title(f"{_title(y)} against {_title(x).lower()}")
        axis.set_xlabel(f"{_title(x)} ({QUANTITIES[x].better} is better)")
        _key(axis, [point.figures[y] for point in shown] + [point.figures[x] for point in shown])
        places = [
            (p.figures[x].value, p.figures[y].value, textwrap.fill(p.label, 20), p.on_front)
            for p in sorted(shown, key=lambda p: not p.on_front)
        ]
        label.place(axis, places, INK, MUTED, PAPER)
    return figure


def bars(measurements: Mapping[str, Measurement]) -> Any:
    """One quantity of several things, named by the keys: bars from zero, with intervals.

    Where all values are within a fifth of each other, bars from zero would look the same; then it is
    points with intervals on an axis that says where it starts.
    """
    with panels([0.75 + 0.62 * max(1, len(measurements))]) as (figure, (axis,)):
        found = list(measurements.values())
        from_zero = not found or min(m.low for m in found) < 0.8 * max(m.high for m in found)
        for at, (name, one) in enumerate(measurements.items()):
            colour = COLOURS[1] if one.source == "predicted" else COLOURS[0]
            if from_zero:
                hollow = {"facecolor": PAPER, "edgecolor": colour, "linewidth": 1.6}
                solid = {"facecolor": colour, "edgecolor": colour, "linewidth": 1.6}
                style = hollow if one.source == "predicted" else solid
                axis.barh(at, one.value, height=0.3, **style)
            _interval(axis, one, at, MUTED if from_zero else colour, marker=not from_zero)
            axis.text(0, at - 0.3, name, transform=axis.get_yaxis_transform(), va="bottom", fontsize=10)
            axis.text(1, at - 0.3, str(one), transform=axis.get_yaxis_transform(), va="bottom", ha="right",
                      fontsize=9, color=MUTED)  # fmt: skip
        axis.set_ylim(len(found) - 0.5, -0.85)
        axis.set_yticks([])
        axis.grid(axis="y", visible=False)
        if found:
            quantity = found[0].quantity
            axis.set_title(_title(quantity))
            axis.xaxis.set_major_formatter(ticks(found[0].unit))
            axis.xaxis.set_major_locator(few_ticks(5))
            if from_zero:
                axis.set_xlim(left=min(0.0, *(m.low for m in found)))
            starts = "" if from_zero else ", the axis does not start at zero"
            axis.set_xlabel(f"{QUANTITIES[quantity].better} is better{starts}")
            _key(axis, found)
    return figure


def trend(measured: Sequence[tuple[str, Measurement]], title: str) -> Any:
    """One quantity over time, with intervals: (name, measurement), oldest first; evenly spaced, for runs bunch."""
    with panels([2.6]) as (figure, (axis,)):
        found = [one for _, one in measured]
        for at, one in enumerate(found):
            axis.plot([at, at], [one.low, one.high], color=COLOURS[0], linewidth=1.8, alpha=0.6)
        axis.plot([one.value for one in found], color=COLOURS[0], linewidth=1, alpha=0.4)
        axis.plot([one.value for one in found], color=COLOURS[0], linestyle="none", **_MEASURED)
        axis.set_title("\n".join(textwrap.wrap(title, 46)))
        axis.margins(x=0.06, y=0.15)
        axis.yaxis.set_major_locator(few_ticks(5))
        axis.yaxis.set_major_formatter(ticks(found[0].unit))
        many = len(found) > 2
        names = [textwrap.shorten(name, 22, placeholder="…") for name, _ in measured]
        axis.set_xticks(range(len(found)), names, rotation=30 * many, ha="right" if many else "center", fontsize=8)
        axis.set_xlabel(f"{QUANTITIES[found[0].quantity].better} is better")
    return figure


def grid(images: NDArray[Any], titles: Sequence[str]) -> Any:
    """Pictures in rows of five, each under its title. `images` is shaped (n, height, width[, 3])."""
    columns = min(5, max(1, len(images)))
    rows = max(1, math.ceil(len(images) / columns))
    with panels([]) as (figure, _):
        figure.set_size_inches(WIDTH_IN, rows * (WIDTH_IN / columns + 0.12))
        for at, image in enumerate(images):
            axis = figure.add_subplot(rows, columns, at + 1)
            axis.imshow(image, cmap="gray", interpolation="nearest")
            title = titles[at] if at < len(titles) else ""
            axis.set_title(textwrap.shorten(title, 14, placeholder="…"), fontsize=9, fontweight="normal",
                           loc="center", pad=4)  # fmt: skip
            axis.set_axis_off()
    return figure


def plan(planned: Sequence[Measurement], actual: Sequence[Measurement]) -> Any:
    """What was planned, with its interval, against what came of it; each row on its own scale.

    The axis is the ratio to the plan, so that seconds, bytes and joules share it.
    """
    came = {one.quantity: one for one in actual}
    with panels([0.95 + 0.66 * max(1, len(planned))]) as (figure, (axis,)):
        for at, one in enumerate(planned):
            scale = one.value or 1.0
            axis.barh(at, (one.high - one.low) / scale, left=one.low / scale, height=0.3, color=COLOURS[1], alpha=0.22)
            axis.plot(1.0, at, color=COLOURS[1], **_PREDICTED)
            text = f"plan {readable(one.value, one.unit)}"
            if one.quantity in came:
                seen = came[one.quantity].value
                axis.plot(seen / scale, at, color=COLOURS[0], **_MEASURED)
                text += f", came {readable(seen, one.unit)}"
            axis.text(0, at - 0.3, _title(one.quantity), transform=axis.get_yaxis_transform(), va="bottom")
            axis.text(1, at - 0.3, text, transform=axis.get_yaxis_transform(), va="bottom", ha="right",
                      fontsize=9, color=MUTED)  # fmt: skip
        axis.set_ylim(len(planned) - 0.5, -0.85)
        axis.set_yticks([])
        axis.grid(axis="y", visible=False)
        axis.set_title("Plan and what came of it")
        axis.set_xlabel("times the plan")
        axis.set_xlim(left=0)
        _key(axis, [*planned, *came.values()])
    return figure


def range_test(rows: Sequence[Mapping[str, Any]], suggested: float | None = None) -> Any:
    """Loss over a growing learning rate (Smith 2017), with the rate that was chosen."""
    with panels([3.0]) as (figure, (axis,)):
        rates = np.array([row["lr"] for row in rows if row.get("loss") is not None], dtype=float)
        losses = np.array([row["loss"] for row in rows if row.get("loss") is not None], dtype=float)
        if len(rates):
            axis.plot(rates, losses, color=COLOURS[0], alpha=0.3, linewidth=1)
            smooth = _smooth(losses)
            axis.plot(rates, smooth, color=COLOURS[0])
            low = float(smooth.min())
            log_axis(axis, "x", "")
            axis.set_ylim(low - 0.1 * abs(low) - 0.05, max(float(smooth[0]), low + 0.1) * 1.4)
        if suggested is not None:
            axis.axvline(suggested, color=COLOURS[1], linewidth=1.6)
            axis.annotate(f"chosen {suggested:.2g}", (suggested, 0.97), xycoords=("data", "axes fraction"),
                          xytext=(-6, 0), textcoords="offset points", va="top", ha="right",
                          color=COLOURS[1])  # fmt: skip
        axis.set_title("Learning-rate range test")
        axis.set_xlabel("learning rate")
        axis.set_ylabel("loss")
    return figure


def _series(
    rows: Sequence[Mapping[str, Any]], words: Sequence[str]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    names = dict.fromkeys(key for row in rows for key in row)
    found = {}
    for name in names:
        if name in words or any(name.endswith(f"_{word}") for word in words):
            kept = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
            if kept:
                steps, values = np.array(kept, dtype=float).T
                found[name] = (steps, values)
    return found


def _curve(
    axis: Any, steps: NDArray[np.float64], values: NDArray[np.float64], colour: str, legend: str | None, *, noisy: bool
) -> None:
    if len(values) <= 40:
        axis.plot(steps, values, color=colour, marker="o", markersize=4, label=legend)
    elif noisy:
        axis.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
        axis.plot(steps, _smooth(values), color=colour, label=legend)
    else:
        axis.plot(steps, values, color=colour, label=legend)


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over a window of a 25th of the series about each point."""
    return running_mean(values, max(1, len(values) // 50))


def _cross(axis: Any, point: Point, x: str, y: str) -> None:
    a, b = point.figures[x], point.figures[y]
    predicted = _predicted(point, x, y)
    colour = COLOURS[predicted]
    faint = {"color": colour, "alpha": 0.4, "linewidth": 1.2, "zorder": 2}
    axis.plot([a.low, a.high], [b.value, b.value], **faint)
    axis.plot([a.value, a.value], [b.low, b.high], **faint)
    axis.plot(a.value, b.value, color=colour, zorder=3 if predicted else 4, **(_PREDICTED if predicted else _MEASURED))


def _predicted(point: Point, x: str, y: str) -> bool:
    return "predicted" in (point.figures[x].source, point.figures[y].source)


def _interval(axis: Any, one: Measurement, at: float, colour: str, marker: bool) -> None:
    axis.plot([one.low, one.high], [at, at], color=colour, linewidth=1.8)
    axis.plot([one.low, one.high], [at, at], color=colour, marker="|", markersize=7, linestyle="none")
    if marker:
        axis.plot(one.value, at, color=colour, **(_PREDICTED if one.source == "predicted" else _MEASURED))


def _key(axis: Any, shown: Sequence[Measurement]) -> None:
    """Says what the two shapes mean, above the plot on the right, where both occur."""
    if len({one.source == "predicted" for one in shown}) == 2:
        for name, colour, shape in (("measured", COLOURS[0], _MEASURED), ("predicted", COLOURS[1], _PREDICTED)):
            axis.plot([], [], color=colour, linestyle="none", label=name, **shape)
        axis.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2,
                    handletextpad=0.1, columnspacing=1.0)  # fmt: skip


def _quantity_axis(axis: Any, which: str, quantity: str, shown: Sequence[Measurement]) -> None:
    side = axis.xaxis if which == "x" else axis.yaxis
    values = [v for one in shown for v in (one.low, one.high) if v > 0]
    if len(values) == 2 * len(shown) and spans_decades(values):
        log_axis(axis, which, QUANTITIES[quantity].unit)
    else:
        side.set_major_locator(few_ticks(5))
        side.set_major_formatter(ticks(QUANTITIES[quantity].unit))
    axis.margins(**{which: 0.12})


def _title(quantity: str) -> str:
    return words(quantity)[0].upper() + words(quantity)[1:]
