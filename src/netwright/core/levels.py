"""Figures of a network on several levels: what was merged, what layers compute, and what work bought.

    html = svg_text(hierarchy(levels, bands))
    save(work({"cascade": run.metrics()}), folder / "work.svg")

In the house style of `figure`. The functions take numbers, arrays and rows of metrics.jsonl and return a matplotlib
figure (extra "plot"); this file does not know how units were matched nor how a network was trained. Level 0 is the
finest everywhere.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.figure import (
    COLOURS,
    INK,
    LINE,
    MUTED,
    PAPER,
    WIDTH_IN,
    few_ticks,
    log_axis,
    panels,
)
from netwright.core.measurement import readable
from netwright.core.stats import running_mean

KINDS = {"stream": COLOURS[0], "head": COLOURS[1], "channel": COLOURS[2], "unit": COLOURS[3]}
"""Colour of a kind of unit."""
ARCS = 48
"""Units up to which each pair is drawn; more are told by a histogram of their similarity."""
BANDS = 8
"""Bands that a figure shows; more would not be looked at."""
_NEUTRAL = "#c3cbd4"


@dataclass(frozen=True, kw_only=True)
class Level:
    """One level: parameters, and FLOPs as a share of the finest level's, if anybody counted them."""

    parameters: int
    flops: float | None


@dataclass(frozen=True, kw_only=True)
class Merge:
    """From one level to the next coarser one: the aggregate of each unit, and the similarity within each."""

    assign: NDArray[np.int64]
    similarity: NDArray[np.float64] | None = None


@dataclass(frozen=True, kw_only=True)
class Band:
    """Units that are merged together, on every level; `count` says for how many alike ones it stands."""

    name: str
    kind: str
    sizes: tuple[int, ...]
    merges: tuple[Merge, ...]
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Units that were merged, the similarity they had, and what they became, as pictures (height, width)."""

    units: tuple[int, ...]
    similarity: float | None
    fine: tuple[NDArray[np.float64], ...]
    coarse: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Tiles of one layer; the darkest colour stands for at least `dark`."""

    title: str
    tiles: tuple[Tile, ...]
    dark: float = 0.0


def hierarchy(levels: Sequence[Level], bands: Sequence[Band], title: str = "Levels") -> Any:
    """Levels as rows of blocks, one a band, as wide as it has units there; then for each band which units merged.

    Up to 48 units every pair is an arc in the colour of its similarity, above the units from level 0 to 1, below from
    1 to 2. More units are told by how many pairs have which similarity.
    """
    shown = bands[:BANDS]
    known = any(merge.similarity is not None for band in shown for merge in band.merges)
    heights = [0.6 + 0.56 * len(levels), *(1.3 if _arcs(band) else 1.4 for band in shown)]
    with panels([]) as (figure, _):
        ratios = [*heights, *([0.55] if known else [])]
        figure.set_size_inches(WIDTH_IN, sum(ratios))
        axes = list(figure.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0])
        _blocks(axes[0], levels, shown, title)
        low = min([-0.1, *(float(m.similarity.min()) for b in shown for m in b.merges if m.similarity is not None)])
        for at, (axis, band) in enumerate(zip(axes[1:], shown, strict=False)):
            _band_title(axis, band, _letter(at))
            _draw_arcs(axis, band) if _arcs(band) else _draw_histogram(axis, band, np.floor(10 * low) / 10)
        if known:
            _scale(axes[-1])
        if len(bands) > len(shown):
            axes[-1].annotate(f"and {len(bands) - len(shown)} more", (0, 0), xycoords="figure fraction",
                              xytext=(8, 4), textcoords="offset points", fontsize=8.5, color=MUTED)  # fmt: skip
    return figure


def tiles(layers: Sequence[Layer], title: str, note: str = "") -> Any:
    """For each layer columns of merged units: the fine ones above, what they became below, in one scale a column."""
    from matplotlib.colors import LinearSegmentedColormap

    ramp = LinearSegmentedColormap.from_list("netwright", (PAPER, COLOURS[5], COLOURS[0], INK))
    columns = max(4, *(len(layer.tiles) for layer in layers))
    fines = max((len(tile.fine) for layer in layers for tile in layer.tiles), default=2)
    side = (WIDTH_IN - 0.5) / columns - 0.06
    with panels([]) as (figure, _):
        figure.get_layout_engine().set(w_pad=0.03, h_pad=0.05, hspace=0.02, wspace=0.02)
        figure.set_size_inches(WIDTH_IN, 0.75 + len(layers) * ((side + 0.08) * (fines + 1) + 0.68))
        figure.suptitle(title, x=0.02, ha="left", fontsize=11, fontweight="bold", color=INK)
        if note:
            figure.supxlabel(textwrap.fill(note, 72), fontsize=8.5, color=MUTED, x=0.02, ha="left")
        folds = figure.subfigures(max(1, len(layers)), 1, squeeze=False)[:, 0]
        for fold, layer in zip(folds, layers, strict=False):
            fold.suptitle(layer.title, x=0.02, ha="left", fontsize=9.5, color=MUTED)
            axes = fold.subplots(fines + 1, columns, squeeze=False)
            for axis in axes.flat:
                axis.set(xticks=[], yticks=[])
                axis.grid(visible=False)
                axis.spines[:].set_visible(False)
            for row, word in ((0, "fine"), (fines, "coarse")):
                axes[row, 0].set_ylabel(word, fontsize=9, color=INK)
            for column, tile in enumerate(layer.tiles):
                _column(axes[:, column], tile, ramp, layer.dark)
    return figure


def work(runs: Mapping[str, Sequence[Mapping[str, Any]]], title: str = "") -> Any:
    """Loss against work, counted in steps of the finest level: in training, on validation examples, and the level.

    `runs` are rows of metrics.jsonl by name. Of one run the colour tells the level, and lines mark each change of it;
    of several it tells the run, pale while that is on a coarser level.
    """
    told = {name: _Told(rows) for name, rows in runs.items()}
    names = [
        ("Training loss", 2.1),
        ("Validation loss", 2.1),
        ("Level", 0.55 + 0.22 * max(t.levels for t in told.values())),
    ]
    kept = [pair for pair in names if pair[0] != "Validation loss" or any(len(t.validation) for t in told.values())]
    with panels([height for _, height in kept]) as (figure, axes):
        by = {name: axis for (name, _), axis in zip(kept, axes, strict=True)}
        for name, axis in by.items():
            axis.set_title(name if not title or name != kept[0][0] else f"{name}: {title}")
        for at, (name, one) in enumerate(told.items()):
            own = COLOURS[at % len(COLOURS)] if len(told) > 1 else None
            _losses(by["Training loss"], one, own, name)
            if "Validation loss" in by:
                _points(by["Validation loss"], one, own)
            _staircase(by["Level"], one, own, shift=at - (len(told) - 1) / 2)
        _losses_axes(by, told)
        if len(told) == 1:
            for one in told.values():
                _changes(list(by.values()), one)
        by["Training loss"].legend(
            frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2, fontsize=9,
            handlelength=1.2, columnspacing=1.0,
        )  # fmt: skip
        pale = "; pale: on a coarser level" if len(told) > 1 and any(t.levels > 1 for t in told.values()) else ""
        axes[-1].set_xlabel(f"work, in steps of the finest level{pale}")
        axes[-1].margins(x=0.02)
    return figure


# hierarchy


def _count(number: int) -> str:
    """1,234 as it is; more as 12.3 k."""
    return f"{number:,}" if number < 10_000 else readable(number, "B").removesuffix("B").strip()


def _hundredths(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _letter(at: int) -> str:
    return chr(ord("A") + at)


def _arcs(band: Band) -> bool:
    return band.sizes[0] <= ARCS or all(merge.similarity is None for merge in band.merges)


def similarity_colour(value: float) -> Any:
    """The colour of a similarity: orange at -1, grey at 0, blue at 1."""
    return _ramp()((value + 1) / 2)


def _ramp() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("similarity", (COLOURS[1], _NEUTRAL, COLOURS[0]))


def _blocks(axis: Any, levels: Sequence[Level], bands: Sequence[Band], title: str) -> None:
    """Each band a column whose width grows with the root of its units; in it each level's share of them."""
    from matplotlib.patches import Polygon

    roots = np.sqrt([band.sizes[0] for band in bands])
    widths = np.maximum(roots / roots.sum(), 0.085)
    widths = widths / widths.sum()
    middles = np.cumsum(widths) - widths / 2
    half = 0.24
    for at, (band, middle, width) in enumerate(zip(bands, middles, widths, strict=True)):
        colour = KINDS.get(band.kind, MUTED)
        spans = [0.46 * width * max(0.16, size / band.sizes[0]) for size in band.sizes]
        for level, (size, span) in enumerate(zip(band.sizes, spans, strict=True)):
            box = [(middle - span, level - half), (middle + span, level - half),
                   (middle + span, level + half), (middle - span, level + half)]  # fmt: skip
            axis.add_patch(Polygon(box, facecolor=colour, edgecolor=PAPER, linewidth=0.6))
            inside = span > 0.0115 * len(str(size)) + 0.004
            axis.text(middle if inside else middle + span + 0.006, level, str(size), fontsize=8, va="center",
                      ha="center" if inside else "left", fontweight="bold",
                      color=PAPER if inside and band.kind != "unit" else INK)  # fmt: skip
            if level + 1 < len(spans):
                lower = spans[level + 1]
                funnel = [(middle - span, level + half), (middle + span, level + half),
                          (middle + lower, level + 1 - half), (middle - lower, level + 1 - half)]  # fmt: skip
                axis.add_patch(Polygon(funnel, facecolor=colour, alpha=0.16, linewidth=0))
        times = f" ×{band.count}" if band.count > 1 else ""
        axis.text(middle, -half - 0.08, _letter(at) + times, ha="center", va="bottom", fontsize=9, color=INK)
    for at, one in enumerate(levels):
        share = "" if one.flops is None else f"\n{100 * one.flops:.3g} % of FLOPs"
        axis.text(1.03, at, f"{_count(one.parameters)} parameters{share}", va="center", fontsize=8.5,
                  color=MUTED, linespacing=1.3)  # fmt: skip
    axis.set(xlim=(0, 1.42), ylim=(len(levels) - 0.6, -0.62), xticks=[])
    axis.set_yticks(range(len(levels)), [f"level {at}" for at in range(len(levels))], fontsize=9)
    axis.tick_params(axis="y", labelcolor=INK)
    axis.grid(visible=False)
    axis.spines["bottom"].set_visible(False)
    axis.set_title(title, pad=8)


def _band_title(axis: Any, band: Band, letter: str) -> None:
    times = f" ×{band.count}" if band.count > 2 else ""
    sizes = " → ".join(map(str, band.sizes))
    axis.set_title(textwrap.shorten(f"{letter}  {band.name}{times}", 52, placeholder="…"), fontsize=9.5, pad=18)
    means = [_hundredths(float(m.similarity.mean())) for m in band.merges if m.similarity is not None]
    said = f", mean similarity {' then '.join(means)}" if means else ""
    said += " (line)" if len(means) > 1 and not _arcs(band) else ""
    axis.annotate(f"{sizes} {_plural(band.kind)}{said}", (0, 1), xycoords="axes fraction", xytext=(0, 5),
                  textcoords="offset points", fontsize=8.5, color=MUTED)  # fmt: skip
    axis.grid(visible=False)


def _plural(kind: str) -> str:
    return {"stream": "features", "head": "heads", "channel": "channels", "unit": "units"}.get(kind, kind)


def _draw_arcs(axis: Any, band: Band) -> None:
    """Units on a line, pairs joined: those of the first change of level above it, of the second below."""
    place = np.arange(band.sizes[0], dtype=float)
    axis.plot(place, np.zeros_like(place), "o", color=INK, markersize=3.4, zorder=3, markeredgewidth=0)
    # arcs of units that are no aggregate of one: half ellipses, as high as the square root of their width
    for merge, sign in zip(band.merges[:2], (1, -1), strict=False):
        members = [np.flatnonzero(merge.assign == at) for at in range(int(merge.assign.max(initial=-1)) + 1)]
        for at, units in enumerate(members):
            colour = _NEUTRAL if merge.similarity is None else similarity_colour(float(merge.similarity[at]))
            for a, b in itertools.pairwise(sorted(place[units])):
                angle = np.linspace(0, np.pi, 40)
                axis.plot((a + b) / 2 + (b - a) / 2 * np.cos(angle), sign * np.sqrt(b - a) * np.sin(angle),
                          color=colour, linewidth=1.5, solid_capstyle="butt")  # fmt: skip
        place = np.array([place[units].min() for units in members])
    axis.set_yticks([])
    axis.set_xticks([])
    axis.spines["bottom"].set_visible(False)
    axis.margins(x=0.02, y=0.08)
    if len(band.merges) > 1:
        low, high = axis.get_ylim()
        for y, word, side in ((high, "0 → 1", "top"), (low, "1 → 2", "bottom")):
            axis.annotate(word, (0, y), xycoords=("axes fraction", "data"), fontsize=7.5, color=MUTED, va=side,
                          xytext=(-2, 0), textcoords="offset points", ha="right")  # fmt: skip


def _draw_histogram(axis: Any, band: Band, low: float) -> None:
    """How many pairs have which similarity; the first change of level as bars, the next as lines."""
    found = [merge.similarity for merge in band.merges if merge.similarity is not None]
    edges = np.linspace(low, 1.0, 45)
    counts, _ = np.histogram(np.clip(found[0], edges[0], 1), edges)
    middle = (edges[1:] + edges[:-1]) / 2
    axis.bar(middle, counts, width=0.92 * (edges[1] - edges[0]), color=[similarity_colour(x) for x in middle])
    for values, style in zip(found[1:3], ("-", ":"), strict=False):
        more, _ = np.histogram(np.clip(values, edges[0], 1), edges)
        axis.stairs(more, edges, color=INK, linewidth=1, linestyle=style)
    axis.set_xlim(edges[0], 1.0)
    axis.set_ylabel("pairs", fontsize=8.5)
    axis.yaxis.set_major_locator(few_ticks(2))
    axis.xaxis.set_major_locator(few_ticks(5))
    axis.tick_params(labelsize=8, length=0)
    axis.grid(visible=True, axis="y")


def _scale(axis: Any) -> None:
    """What the colours of similarity mean."""
    axis.imshow(np.linspace(-1, 1, 200)[None], aspect="auto", cmap=_ramp(), extent=(-1, 1, 0, 1), vmin=-1, vmax=1)
    axis.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1", "−0.5", "0", "0.5", "1"])
    axis.tick_params(labelsize=8, length=0)
    axis.set_yticks([])
    axis.grid(visible=False)
    axis.set_box_aspect(0.028)
    axis.set_xlabel("similarity of merged units", fontsize=8.5)


# tiles


def _column(axes: Sequence[Any], tile: Tile, ramp: Any, dark: float) -> None:
    every = np.concatenate([image.ravel() for image in (*tile.fine, tile.coarse)])
    low = float(every.min()) if not dark else min(0.0, float(every.min()))
    high = max(float(every.max()), dark)
    for at, axis in enumerate(axes):
        last = at == len(axes) - 1
        image = tile.coarse if last else tile.fine[at] if at < len(tile.fine) else None
        if image is None:
            continue
        axis.imshow(image, cmap=ramp, vmin=low, vmax=max(high, low + 1e-9), interpolation="nearest")
        axis.spines[:].set_visible(True)
        axis.spines[:].set_color(INK if last else LINE)
    said = "" if tile.similarity is None else f"\n{_hundredths(tile.similarity)}"
    axes[0].set_title(
        "+".join(map(str, tile.units)) + said, fontsize=8, fontweight="normal", loc="center", pad=3, color=MUTED
    )


# work against loss


@dataclass(frozen=True)
class _Visit:
    level: int
    work: NDArray[np.float64]
    loss: NDArray[np.float64]


class _Told:
    """Rows of one run, taken apart: visits of levels, validation, changes of level."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        losses = [
            (int(r.get("level", 0)), float(r.get("work", r["step"])), float(r["loss"])) for r in rows if _has(r, "loss")
        ]
        self.visits = [
            _Visit(level, *np.array([one[1:] for one in part], dtype=float).T)
            for level, part in ((level, list(part)) for level, part in itertools.groupby(losses, lambda one: one[0]))
        ]
        self.validation = [
            (int(r.get("level", 0)), float(r.get("work", r["step"])), float(r["validation_loss"]))
            for r in rows if _has(r, "validation_loss")
        ]  # fmt: skip
        self.changes: list[tuple[float, int, Any]] = []
        for row in rows:  # a resumed run may have written a change twice
            if _has(row, "to_level") and (not self.changes or self.changes[-1][1] != row["to_level"]):
                self.changes.append((float(row["work"]), int(row["to_level"]), row.get("accepted")))
        seen = [visit.level for visit in self.visits] + [level for _, level, _ in self.changes]
        self.levels = 1 + max(seen, default=0)

    def by_level(self) -> list[_Visit]:
        """What was seen on each level over all its visits, where there were many."""
        found = []
        for level in sorted({visit.level for visit in self.visits}):
            own = [visit for visit in self.visits if visit.level == level]
            found.append(_Visit(level, np.concatenate([v.work for v in own]), np.concatenate([v.loss for v in own])))
        return found


def _has(row: Mapping[str, Any], name: str) -> bool:
    return row.get(name) is not None


def _losses(axis: Any, told: _Told, own: str | None, name: str) -> None:
    """Each visit raw and pale with its running mean; many short visits as points with one mean a level."""
    many = len(told.visits) > 24
    every = sum(len(visit.loss) for visit in told.visits)
    names = {f"level {at}": COLOURS[at % len(COLOURS)] for at in range(told.levels)} if own is None else {name: own}
    for said, colour in names.items():
        axis.plot([], [], color=colour, label=said)
    for visit in told.by_level() if many else told.visits:
        colour = own or COLOURS[visit.level % len(COLOURS)]
        window = max(1, (len(visit.loss) if many else every) // 50)
        faint = own is not None and visit.level > 0
        if own is None:
            axis.plot(visit.work, visit.loss, color=colour, alpha=0.3, linewidth=0.8, linestyle="none" if many else "-",
                      marker="o" if many or len(visit.loss) < 3 else None, markersize=2, markeredgewidth=0)  # fmt: skip
        axis.plot(visit.work, running_mean(visit.loss, window), color=colour, alpha=0.4 if faint else 1.0,
                  linewidth=1.6 if faint else 2)  # fmt: skip


def _points(axis: Any, told: _Told, own: str | None) -> None:
    axis.plot([w for _, w, _ in told.validation], [v for _, _, v in told.validation], color=own or _NEUTRAL,
              linewidth=1, alpha=0.5 if own else 1.0, zorder=1)  # fmt: skip
    for level in sorted({level for level, _, _ in told.validation}):
        kept = [(w, v) for at, w, v in told.validation if at == level]
        hollow = own is not None and level > 0
        colour = own or COLOURS[level % len(COLOURS)]
        axis.plot(*zip(*kept, strict=True), linestyle="none", marker="o", markersize=5, color=colour,
                  markerfacecolor=PAPER if hollow else colour, markeredgecolor=colour if hollow else PAPER,
                  markeredgewidth=1.2)  # fmt: skip


def _staircase(axis: Any, told: _Told, own: str | None, shift: float) -> None:
    """The level over the work; several runs a little apart."""
    end = max((float(visit.work[-1]) for visit in told.visits), default=0.0)
    first = told.visits[0].level if told.visits else 0
    # a run begins on the level before its first change: level 0, from where it may go down at once
    stops = [(0.0, 0 if told.changes else first), *((w, to) for w, to, _ in told.changes), (end, -1)]
    y = 0.09 * shift
    axis.plot([w for w, _ in stops for _ in (0, 1)][1:-1],
              [level + y for (_, level) in stops[:-1] for _ in (0, 1)],
              color=own or _NEUTRAL, linewidth=1.0, zorder=1)  # fmt: skip
    for (begin, level), (stop, _) in itertools.pairwise(stops):
        axis.plot([begin, stop], [level + y] * 2, color=own or COLOURS[level % len(COLOURS)], linewidth=2.6,
                  solid_capstyle="butt")  # fmt: skip


def _changes(axes: Sequence[Any], told: _Told) -> None:
    """A line where the level changes, if they can be told apart; a cross where a correction was refused."""
    places = sorted({work for work, _, _ in told.changes})
    if len(places) <= 24:
        for axis in axes:
            for at in places:
                axis.axvline(at, color=_NEUTRAL, linewidth=0.8, linestyle=(0, (3, 2)), zorder=0)
    refused = [work for work, _, accepted in told.changes if accepted == 0]
    if refused:
        axes[0].plot(refused, [0.97] * len(refused), linestyle="none", marker="x", markersize=5, color=INK,
                     transform=axes[0].get_xaxis_transform(), label="refused")  # fmt: skip


def _losses_axes(by: Mapping[str, Any], told: Mapping[str, _Told]) -> None:
    levels = max(one.levels for one in told.values())
    by["Level"].set_yticks(range(levels), [str(at) for at in range(levels)])
    by["Level"].set_ylim(levels - 0.5, -0.5)
    losses = {
        "Training loss": [v for one in told.values() for visit in one.visits for v in visit.loss],
        "Validation loss": [v for one in told.values() for _, _, v in one.validation],
    }
    for name, values in losses.items():
        # the first steps would press the rest of a curve against the axis
        if name in by and values and min(values) > 0 and max(values) > 6 * min(values):
            log_axis(by[name], "y", "")
