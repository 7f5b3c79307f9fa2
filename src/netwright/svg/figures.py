"""Figures of the choice of an SVG: likeness against bytes, measured and predicted; what each parameter does to both.

Measured points are filled circles, predicted ones open diamonds with 90 % intervals, as in every figure here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netwright.core.figure import COLOURS, INK, MUTED, PAPER, log_axis, panels
from netwright.svg.explain import Effect, Step

Row = Mapping[str, Any]
OUTLINES = {"spline": ("curves", COLOURS[0]), "polygon": ("polygons", COLOURS[1]), "none": ("pixels", COLOURS[2])}


def front(row: Row) -> Any:
    """Every trace of an image and the predictions that remain: SSIM over bytes; the chosen one is ringed."""
    with panels([3.9]) as (figure, (axis,)):
        tried = row["tried"]
        reach = [one["ssim"] for one in tried]
        low = max(0.0, min(*reach, row["ssim"] - 0.05) - 0.02)
        shown = [one for one in row["predicted"] if one["expected"]["ssim"] >= low]
        for mode, (name, colour) in OUTLINES.items():
            own = [one for one in shown if one["setting"]["mode"] == mode]
            for one in own:
                _cross(axis, one["expected"], colour)
            axis.plot([one["expected"]["bytes"] for one in own], [one["expected"]["ssim"] for one in own], "D",
                      markersize=4.5, markerfacecolor=PAPER, markeredgecolor=colour, markeredgewidth=1.2,
                      linestyle="none", alpha=0.8, label=f"{name}, predicted" if own else None)  # fmt: skip
            own = [one for one in tried if one["setting"]["mode"] == mode]
            axis.plot([one["bytes"] for one in own], [one["ssim"] for one in own], "o", markersize=7, color=colour,
                      markeredgecolor=PAPER, markeredgewidth=1.2, linestyle="none",
                      label=f"{name}, traced" if own else None)  # fmt: skip
        axis.plot([row["bytes"]], [row["ssim"]], "o", markersize=13, markerfacecolor="none", markeredgecolor=INK,
                  markeredgewidth=1.8, linestyle="none", label="chosen")  # fmt: skip
        _limits(axis, row)
        axis.set_ylim(low, min(1.0, max(reach) + 0.35 * (max(reach) - low) + 0.005))
        axis.margins(x=0.08)
        log_axis(axis, "x", "B")
        axis.set_ylabel("SSIM")
        axis.set_xlabel("size of the SVG")
        axis.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2, frameon=False, fontsize=9, labelcolor=MUTED)
    return figure


def plane(steps: Sequence[Step], effects: Sequence[Effect]) -> Any:
    """Where each of the parameters that do most takes the SVG, from the setting in the middle."""
    with panels([4.1]) as (figure, (axis,)):
        here = steps[0].best
        for effect, colour in zip(effects, COLOURS, strict=False):
            own = [step for step in steps if step.parameter == effect.parameter]
            axis.plot([one.best.bytes for one in own], [one.best.ssim for one in own], color=colour, linewidth=1.3,
                      alpha=0.7)  # fmt: skip
            for traced, shape in ((True, {"marker": "o", "markersize": 5, "color": colour}),
                                  (False, {"marker": "D", "markersize": 4.5, "markerfacecolor": PAPER,
                                           "markeredgecolor": colour})):  # fmt: skip
                points = [one.best for one in own if (one.traced is not None) == traced]
                axis.plot([one.bytes for one in points], [one.ssim for one in points], linestyle="none", **shape)
            axis.plot([], [], "o-", color=colour, linewidth=1.3, markersize=5, label=effect.parameter.replace("_", " "))
            for one in (own[0], own[-1]):
                axis.annotate(str(one.value), (one.best.bytes, one.best.ssim), xytext=(4, 4), fontsize=8,
                              textcoords="offset points", color=colour)  # fmt: skip
        axis.plot([here.bytes], [here.ssim], "o", markersize=13, markerfacecolor="none", markeredgecolor=INK,
                  markeredgewidth=1.8, linestyle="none", label="the setting")  # fmt: skip
        axis.margins(0.08)
        log_axis(axis, "x", "B")
        axis.set_ylabel("SSIM")
        axis.set_xlabel("size of the SVG")
        axis.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2, frameon=False, fontsize=9, labelcolor=MUTED)
    return figure


def _cross(axis: Any, expected: Mapping[str, float], colour: str) -> None:
    axis.plot([expected["bytes_low"], expected["bytes_high"]], [expected["ssim"]] * 2, color=colour, linewidth=0.8,
              alpha=0.28)  # fmt: skip
    axis.plot([expected["bytes"]] * 2, [expected["ssim_low"], expected["ssim_high"]], color=colour, linewidth=0.8,
              alpha=0.28)  # fmt: skip


def _limits(axis: Any, row: Row) -> None:
    """The wish, as lines that a trace must stay within."""
    wish = row["wish"]
    if wish["max_bytes"] is not None:
        axis.axvline(wish["max_bytes"], color=MUTED, linewidth=1, linestyle="--")
    if wish["min_ssim"] is not None:
        axis.axhline(wish["min_ssim"], color=MUTED, linewidth=1, linestyle="--")
    elif row["default"] and wish["max_bytes"] is None and wish["max_paths"] is None:
        axis.axhline(row["default"]["ssim"], color=MUTED, linewidth=1, linestyle="--")
