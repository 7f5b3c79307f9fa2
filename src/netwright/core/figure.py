"""The house style of figures, and how a figure becomes SVG or PNG.

Readable at 390 px, safe for colour-blind readers, on white paper that also stands in a dark page. This
file knows matplotlib (extra "plot") and not what is drawn; it leaves matplotlib's global state alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from netwright.core import artifact
from netwright.core.error import UserError
from netwright.core.measurement import readable
from netwright.core.table import extra

WIDTH_IN = 5.4
"""390 px over 5.4 in (389 pt): a 10 pt letter is 10 px high on a phone."""

INK, MUTED, LINE, PAPER = "#1d2733", "#5f6b7a", "#e3e8ed", "#ffffff"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette (2008), which the three common kinds of colour blindness tell apart."""

_STYLE = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.titlecolor": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
    "svg.hashsalt": "netwright",
    "svg.fonttype": "path",
}


def svg_text(figure: Any, alt: str = "") -> str:
    """The figure as an <svg> element for a page: as wide as its place, the same text every time.

    `alt` is what a screen reader says; without it, the titles of the panels.
    """
    buffer = io.StringIO()
    with _style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    said = html.escape(alt or "; ".join(t for a in figure.axes if (t := a.get_title(loc="left"))), quote=True)
    look = "width:100%;max-width:680px;height:auto;border-radius:8px"
    text = re.sub(
        r'width="[\d.]+pt" height="[\d.]+pt"', f'role="img" aria-label="{said}" style="{look}"', text, count=1
    )
    # several figures share a page, so that each needs names of its own
    own = "n" + hashlib.sha256(text.encode()).hexdigest()[:8] + "-"
    return re.sub(r'((?<=\s)id="|href="#|url\(#)', lambda found: found[0] + own, text)


def save_png(figure: Any, path: Path, width: int = 1080) -> None:
    """Write the figure as a PNG, `width` pixels wide, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _style():
        artifact.replace_file(
            path, lambda draft: figure.savefig(draft, format="png", dpi=width / WIDTH_IN, metadata={"Software": None})
        )


def save(figure: Any, path: Path) -> None:
    """Write the figure as the path's suffix says, .png or .svg, in one step."""
    if path.suffix == ".png":
        return save_png(figure, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = svg_text(figure)
    return artifact.replace_file(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def check(path: Path | None) -> None:
    """Raise UserError for a path that `save` has no format for, before any work."""
    if path is not None and path.suffix not in (".png", ".svg"):
        raise UserError("plot", str(path), "a file that ends in .png or .svg", "--plot figure.png")


@contextlib.contextmanager
def _style() -> Iterator[None]:
    matplotlib = extra("matplotlib", "a figure")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a person's matplotlibrc would change what a report looks like
        matplotlib.rcParams.update(_STYLE)
        yield


@contextlib.contextmanager
def panels(heights: Sequence[float]) -> Iterator[tuple[Any, list[Any]]]:
    """A figure in the house style with panels one under another; at the end its layout is settled for good."""
    with _style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, hspace=0.04)
        figure = Figure(figsize=(WIDTH_IN, sum(heights) or 1.0), layout=layout)
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights) if heights else None
        yield figure, [] if axes is None else list(axes[:, 0])
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def log_axis(axis: Any, which: str, unit: str) -> None:
    """A logarithmic axis with a tick at each power of ten, and between them where that leaves too few."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set(**{f"{which}scale": "log"})
    side = axis.xaxis if which == "x" else axis.yaxis
    low, high = axis.get_xlim() if which == "x" else axis.get_ylim()
    subs = (1, 2, 5) if high / low < 60 else (1, 3) if high / low < 400 else (1,)
    side.set_major_locator(LogLocator(subs=subs, numticks=12))
    side.set_major_formatter(ticks(unit))
    side.set_minor_formatter(NullFormatter())


def ticks(unit: str) -> Any:
    """A formatter of values of a unit, as a person reads them."""
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: _tick(float(value), unit))


def _tick(value: float, unit: str) -> str:
    if unit == "fraction":
        return f"{100 * value:.4g} %"
    return f"{value:g}" if unit in ("", "1") or value == 0 else readable(value, unit)


def few_ticks(n: int) -> Any:
    """A locator of at most `n` round places."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(n)


def spans_decades(values: Sequence[float]) -> bool:
    """Whether positive values differ so much that a linear axis would hide the small ones."""
    return len(values) > 0 and min(values) > 0 and max(values) / min(values) > 20
