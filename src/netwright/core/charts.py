"""Figures of many things at once, in the house style of `plot`: scatter, ranges, counts, a heat map.

    html = svg_text(scatter(points, "bandwidth", "B/s", "16-bit rate", "FLOP/s"))

The functions take numbers and words and return a matplotlib figure (extra "plot"); this file does not know what
they mean. Groups beyond the palette's five share a grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core import label
from netwright.core.figure import COLOURS, INK, LINE, MUTED, PAPER, log_axis, panels
from netwright.core.measurement import readable

GREY = "#9aa5b1"
SHAPES = ("o", "s", "^", "D", "v", "P")
"""A marker for each colour, for readers who tell no colours apart."""


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One point of a scatter: where it is, what group it is of, and its label where it has one."""

    x: float
    y: float
    group: str
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Range:
    """One row of `ranges`: a value with its interval, its group, and what is said on the right."""

    name: str
    value: float
    low: float
    high: float
    group: str
    note: str = ""


def scatter(
    dots: Sequence[Dot], x: tuple[str, str], y: tuple[str, str], title: str, slopes: Sequence[tuple[float, str]] = (),
    order: Sequence[str] = (),
) -> Any:  # fmt: skip
    """Points on logarithmic axes; `x` and `y` are (name, unit). `slopes` draws y = slope x lines with their words."""
    with panels([4.4]) as (figure, (axis,)):
        for group, colour, shape in _groups([dot.group for dot in dots], order):
            own = [dot for dot in dots if dot.group == group]
            axis.plot([dot.x for dot in own], [dot.y for dot in own], linestyle="none", marker=shape, markersize=5.5,
                      color=colour, alpha=0.75, markeredgewidth=0, label=group)  # fmt: skip
        axis.margins(0.08)
        for which, (name, unit) in (("x", x), ("y", y)):
            log_axis(axis, which, unit)
            _bare(axis.xaxis if which == "x" else axis.yaxis)
            axis.set(**{f"{which}label": f"{name}, {unit}"})
        _slopes(axis, slopes)
        axis.set_title(title, pad=26)
        _legend(axis)
        named = [(dot.x, dot.y, dot.text, False) for dot in dots]
        label.place(axis, named, INK, MUTED, PAPER)
    return figure


def ranges(rows: Sequence[Range], unit: str, title: str, x: str, order: Sequence[str] = ()) -> Any:
    """A row each, from the top: a point with its interval, on a logarithmic axis."""
    with panels([1.15 + 0.27 * max(1, len(rows))]) as (figure, (axis,)):
        for group, colour, shape in _groups([row.group for row in rows], order):
            for at, row in enumerate(rows):
                if row.group == group:
                    axis.plot([row.low, row.high], [at, at], color=colour, linewidth=2, alpha=0.55)
            own = [(row.value, at) for at, row in enumerate(rows) if row.group == group]
            axis.plot(*zip(*own, strict=True), linestyle="none", marker=shape, markersize=6, color=colour,
                      markeredgecolor=PAPER, markeredgewidth=0.8, label=group)  # fmt: skip
        for at, row in enumerate(rows):
            axis.text(1.01, at, row.note, transform=axis.get_yaxis_transform(), va="center", fontsize=8, color=MUTED)
        axis.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=9)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.tick_params(axis="y", labelcolor=INK)
        axis.margins(x=0.06)
        log_axis(axis, "x", unit)
        _bare(axis.xaxis)
        axis.grid(axis="y", visible=False)
        axis.set_title(title, pad=26)
        axis.set_xlabel(f"{x}, {unit}")
        _legend(axis)
    return figure


def counts(names: Sequence[str], groups: Sequence[str], values: NDArray[np.int_], title: str, x: str) -> Any:
    """Bars of counts, stacked by group; `values` is shaped (names, groups)."""
    with panels([1.2 + 0.3 * max(1, len(names))]) as (figure, (axis,)):
        left = np.zeros(len(names))
        for at, (group, colour, _) in enumerate(_groups(groups, groups)):
            axis.barh(range(len(names)), values[:, at], left=left, height=0.62, color=colour, label=group,
                      edgecolor=PAPER, linewidth=0.8)  # fmt: skip
            left += values[:, at]
        for at, total in enumerate(left):
            axis.text(total, at, f" {total:.0f}", va="center", fontsize=9, color=MUTED)
        axis.set_yticks(range(len(names)), names)
        axis.tick_params(axis="y", labelcolor=INK)
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_xlim(0, 1.1 * max(1.0, float(left.max(initial=0))))
        axis.grid(axis="y", visible=False)
        axis.set_title(title, pad=26)
        axis.set_xlabel(x)
        _legend(axis)
    return figure


def heat(
    rows: Sequence[str], columns: Sequence[str], values: NDArray[np.float64], title: str, *, signed: bool = False,
    faint: NDArray[np.bool_] | None = None, note: str = "",
) -> Any:  # fmt: skip
    """A matrix of shares (0 to 1), or `signed` of correlations (-1 to 1), each with its number in hundredths.

    NaN stays empty; `faint` marks cells whose number is written in grey.
    """
    from matplotlib.colors import LinearSegmentedColormap

    ramp = (COLOURS[1], PAPER, COLOURS[0]) if signed else (PAPER, COLOURS[0])
    with panels([1.5 + 0.27 * max(1, len(rows))]) as (figure, (axis,)):
        shown = np.ma.masked_invalid(np.asarray(values, dtype=np.float64).reshape(len(rows), len(columns)))
        axis.imshow(shown, cmap=LinearSegmentedColormap.from_list("netwright", ramp), vmin=-1 if signed else 0, vmax=1,
                    aspect="auto")  # fmt: skip
        for (row, column), value in np.ndenumerate(shown.filled(np.nan)):
            if np.isfinite(value):
                pale = faint is not None and faint[row, column]
                colour = PAPER if abs(value) > 0.62 else MUTED if pale else INK
                text = f"{100 * value:.0f}".replace("-", "−")
                axis.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour,
                          style="italic" if pale else "normal")  # fmt: skip
        axis.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8.5)
        axis.set_yticks(range(len(rows)), rows, fontsize=8.5)
        axis.tick_params(axis="both", labelcolor=INK, length=0)
        axis.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
        axis.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
        axis.grid(which="major", visible=False)
        axis.grid(which="minor", color=PAPER, linewidth=1.5)
        axis.spines[:].set_visible(False)
        axis.set_title(title)
        axis.set_xlabel(note)
    return figure


def _groups(groups: Sequence[str], order: Sequence[str]) -> list[tuple[str, str, str]]:
    """Each group that occurs, with its colour and marker: in `order`, then the commonest first, "other" last."""
    rest = sorted(set(groups) - set(order), key=lambda name: (name == "other", -list(groups).count(name), name))
    names = [*order, *rest]
    styles = [
        (name, COLOURS[at] if at < len(COLOURS) and name != "other" else GREY, SHAPES[min(at, len(SHAPES) - 1)])
        for at, name in enumerate(names)
    ]
    return [style for style in styles if style[0] in groups]


def _legend(axis: Any) -> None:
    """The groups in one line under the title; it takes no room from the axes."""
    if not axis.get_legend_handles_labels()[0]:
        return
    axis.legend(frameon=False, loc="lower left", bbox_to_anchor=(-0.03, 1.0), ncols=6, borderaxespad=0.2, fontsize=8.5,
                handlelength=0.9, handletextpad=0.35, columnspacing=0.8).set_in_layout(False)  # fmt: skip


def _bare(side: Any) -> None:
    """Ticks without the unit, which the axis' label says: 300 G."""
    from matplotlib.ticker import FuncFormatter

    side.set_major_formatter(FuncFormatter(lambda value, _: readable(float(value), "B").removesuffix("B").strip()))


def _slopes(axis: Any, slopes: Sequence[tuple[float, str]]) -> None:
    """Lines of one ratio of y to x, with their words at their lower end."""
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    for slope, words in slopes:
        x = np.array([max(left, bottom / slope), min(right, top / slope)])
        if x[0] < x[1]:
            axis.plot(x, slope * x, color=LINE, linewidth=1.2, zorder=0.5)
            axis.annotate(words, (x[0], slope * x[0]), xytext=(4, 1), textcoords="offset points", ha="left",
                          va="bottom", fontsize=8, color=MUTED)  # fmt: skip
    axis.set_xlim(left, right)
    axis.set_ylim(bottom, top)
