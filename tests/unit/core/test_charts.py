"""Figures of many things: every point, bar and cell is drawn, from nothing and from much."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from netwright.core import charts, plot

DOTS = [charts.Dot(x=10.0**at, y=3.0 * 10**at, group="odd" if at % 2 else "even", text=f"P{at}") for at in range(6)]


def texts(figure) -> list[str]:
    found = [text.get_text() for axis in figure.axes for text in axis.texts]
    found += [text.get_text() for axis in figure.axes for text in axis.get_xticklabels() + axis.get_yticklabels()]
    found += [text.get_text() for axis in figure.axes if axis.get_legend() for text in axis.get_legend().get_texts()]
    return found


def test_a_scatter_draws_every_point_in_its_group():
    figure = charts.scatter(DOTS, ("speed", "B/s"), ("rate", "FLOP/s"), "A title", [(3.0, "three")])
    axis = figure.axes[0]
    drawn = [line for line in axis.lines if line.get_linestyle() == "None"]
    assert sorted(x for line in drawn for x in line.get_xdata()) == [dot.x for dot in DOTS]
    assert len({line.get_color() for line in drawn}) == len({line.get_marker() for line in drawn}) == 2
    assert {"even", "odd", "three", "P0"} <= set(texts(figure))
    assert axis.get_xlabel() == "speed, B/s"
    assert not any(text.endswith("B/s") for text in texts(figure))  # the axis says the unit once


def test_a_line_outside_the_points_is_left_out():
    figure = charts.scatter(DOTS, ("x", "B"), ("y", "B"), "", [(1e9, "far away")])
    assert "far away" not in texts(figure)


def test_groups_keep_their_colour_and_those_beyond_the_palette_are_grey():
    groups = charts._groups(["other", "other", *"aabbccddeeffgg"], ())
    assert groups[-1][0] == "other"
    assert [colour for _, colour, _ in groups].count(charts.GREY) == 2
    alone = charts._groups(["b"], ["a", "b"])
    assert alone == [charts._groups(["a", "b"], ["a", "b"])[1]]


def test_ranges_have_a_row_each():
    rows = [charts.Range(name=f"R{at}", value=2.0, low=1.0, high=4.0, group="g", note=f"n {at}") for at in range(3)]
    figure = charts.ranges(rows, "W", "T", "power")
    assert {"R0", "R1", "R2", "n 0", "n 2"} <= set(texts(figure))


def test_counts_say_their_sums():
    figure = charts.counts(["one", "two"], ["a", "b"], np.array([[3, 4], [0, 1]]), "T", "things")
    assert {" 7", " 1", "one", "two", "a", "b"} <= set(texts(figure))
    assert sum(bar.get_width() for bar in figure.axes[0].patches) == 8


def test_a_heat_map_writes_every_cell_but_the_empty_ones():
    values = np.array([[1.0, 0.5], [np.nan, 0.0]])
    figure = charts.heat(["r", "s"], ["c", "d"], values, "T", faint=np.array([[False, True], [False, False]]))
    cells = {text.get_text(): text for text in figure.axes[0].texts}
    assert set(cells) == {"100", "50", "0"}
    assert cells["50"].get_style() == "italic"
    assert "−40" in texts(charts.heat(["r"], ["c"], np.array([[-0.4]]), "T", signed=True))


def test_nothing_is_drawn_as_nothing():
    assert "<svg" in plot.svg_text(charts.counts([], [], np.zeros((0, 0), dtype=np.int_), "T", "x"))
    assert "<svg" in plot.svg_text(charts.ranges([], "W", "T", "x"))
