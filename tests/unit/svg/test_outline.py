"""Counts of what VTracer writes."""

import numpy as np
import pytest

from netwright.svg.outline import Outline, outline, parse
from netwright.svg.setting import Setting
from netwright.svg.tracer import Tracer


def svg(*paths):
    drawn = "".join(f'<path d="{path}" fill="#000"/>' for path in paths)
    return f'<svg xmlns="http://www.w3.org/2000/svg">{drawn}</svg>'


def test_a_square_has_four_nodes_all_corners_and_no_curve():
    text = svg("M0 0 L10 0 L10 10 L0 10 L0 0 Z ")
    assert outline(parse(text)) == Outline(1, 4, 0.0, 1.0)


def test_a_circle_of_four_curves_has_no_corner():
    text = svg("M10 0 C15.5 0 20 4.5 20 10 C20 15.5 15.5 20 10 20 C4.5 20 0 15.5 0 10 C0 4.5 4.5 0 10 0 Z ")
    found = outline(parse(text))
    assert (found.nodes, found.curved, found.kinks) == (4, 1.0, 0.0)


def test_two_curves_that_meet_at_points_have_two_corners():
    found = outline(parse(svg("M0 0 C5 5 15 5 20 0 C15 -5 5 -5 0 0 Z ")))
    assert (found.nodes, found.kinks) == (2, 1.0)


def test_a_handle_that_lies_on_its_node_takes_the_chords_direction():
    found = outline(parse(svg("M0 0 C0 0 10 0 10 0 C10 0 10 10 10 10 C10 10 0 0 0 0 Z ")))
    assert (found.nodes, found.kinks) == (3, 1.0)


def test_points_on_a_line_are_no_corners():
    assert outline(parse(svg("M0 0 L5 0 L10 0 L10 10 L0 10 L0 0 Z "))).kinks == pytest.approx(4 / 5)


def test_holes_and_paths_add_up():
    text = svg("M0 0 L9 0 L9 9 L0 0 Z M1 1 L2 1 L2 2 L1 1 Z ", "M0 0 C1 1 2 2 3 0 C2 -2 1 -1 0 0 Z ")
    found = outline(parse(text))
    assert (found.paths, found.nodes) == (2, 8)
    assert found.curved == pytest.approx(2 / 8)


def test_an_empty_svg_has_nothing():
    assert outline(parse(svg())).paths == outline(parse(svg())).nodes == 0
    assert outline(parse(svg("M0 0 Z "))).nodes == 0


def test_lines_and_curves_in_one_outline_are_refused():
    with pytest.raises(ValueError, match="lines and curves"):
        outline(parse(svg("M0 0 L1 1 C1 1 2 2 3 3 Z ")))


def test_what_the_tracer_writes_is_counted_in_every_mode():
    y, x = np.mgrid[:48, :48]
    disc = np.where(((x - 24) ** 2 + (y - 24) ** 2 < 300)[:, :, None], (20, 90, 200), (255, 255, 255)).astype(np.uint8)
    with Tracer() as tracer:
        found = {mode: outline(parse(tracer.trace(disc, Setting(mode=mode)))) for mode in ("spline", "polygon", "none")}
    assert all(one.paths == 2 for one in found.values())
    assert found["spline"].curved == 1.0
    assert found["polygon"].curved == found["none"].curved == 0.0
    assert found["spline"].kinks < found["polygon"].kinks <= found["none"].kinks
    assert found["none"].nodes > found["polygon"].nodes
