"""Thinning: never above a budget and near to it, what is missed least goes first, the page and large patches stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.svg import render, thin
from netwright.svg.likeness import Reference
from netwright.svg.outline import Drawing, Patch, outline, parse
from netwright.svg.setting import Setting
from netwright.svg.tracer import Tracer
from netwright.svg.written import written
from scripted_tracer import picture


@pytest.fixture(scope="module")
def traced():
    """A picture as curves and as polygons."""
    pixels = np.ascontiguousarray(picture(96) // 32 * 32)
    with Tracer() as tracer:
        ways = {mode: Setting(mode=mode, filter_speckle=1) for mode in ("spline", "polygon")}
        found = {mode: parse(tracer.trace(pixels, one)) for mode, one in ways.items()}
    return found.__getitem__  # a failing example is told without them


def size(drawing, grid):
    return len(written(drawing, grid).encode())


def circle(count, radius=20.0, centre=24.0):
    """A closed outline of Bezier arcs."""
    angle = np.linspace(0, 2 * np.pi, count + 1)
    out, along = np.stack([np.cos(angle), np.sin(angle)], 1), np.stack([-np.sin(angle), np.cos(angle)], 1)
    reach = 4 / 3 * np.tan(np.pi / 2 / count)
    first, second = out[:-1] + reach * along[:-1], out[1:] - reach * along[1:]
    rows = np.stack([out[:-1], first, second], 1).reshape(-1, 2)
    return centre + radius * np.concatenate([rows, rows[:1]])


def chained(points):
    """A closed outline of straight Bezier curves."""
    third = np.diff(points, axis=0) / 3
    rows = np.stack([points[:-1], points[:-1] + third, points[:-1] + 2 * third], 1).reshape(-1, 2)
    return np.concatenate([rows, points[:1]])


PAGE = Patch("#ffffff", False, [np.array([(0, 0), (48, 0), (48, 48), (0, 48), (0, 0)], float)])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["spline", "polygon"]), st.floats(0.1, 1.2), st.sampled_from([1, 2, 4]))
def test_never_above_a_budget_and_near_it(traced, mode, share, grid):
    drawing = traced(mode)
    whole = size(drawing, grid)
    found = thin.thinned(drawing, grid, int(share * whole))
    if found is None:
        assert share < 0.3
        return
    got = size(found, grid)
    assert got <= share * whole
    assert got > 0.9 * share * whole or share > 1
    assert share < 1 or found is drawing
    assert render.skia(written(found, grid), 96, 96).shape == (96, 96, 3)
    assert found.patches[0].fill == drawing.patches[0].fill
    assert all((one[0] == one[-1]).all() for patch in found.patches for one in patch.outlines)


@pytest.mark.parametrize("mode", ["spline", "polygon"])
def test_a_fifth_of_the_bytes_is_hardly_missed(traced, mode):
    drawing, grid = traced(mode), 1 if mode == "polygon" else 4
    before = render.skia(written(drawing, grid), 96, 96)
    found = thin.thinned(drawing, grid, int(0.8 * size(drawing, grid)))
    after = render.skia(written(found, grid), 96, 96)
    assert Reference(before).compare(after).ssim > 0.95


def test_nodes_on_a_line_go_for_nothing():
    corners = [(4, 4), (8, 4), (17, 4), (40, 4), (40, 21), (40, 40), (11, 40), (4, 40), (4, 4)]
    drawing = Drawing(48, 48, [PAGE, Patch("#123456", False, [np.array(corners, float)])])
    *_, square = thin.thinnings(drawing, 1, 0.001)
    assert [len(one.outlines[0]) for one in square.patches] == [5, 5]
    assert np.array_equal(render.skia(written(square, 1), 48, 48), render.skia(written(drawing, 1), 48, 48))


def test_a_circle_of_many_arcs_is_one_of_few_and_still_round():
    drawing = Drawing(48, 48, [PAGE, Patch("#123456", True, [circle(24)])])
    small = thin.thinned(drawing, 4, 300)
    assert outline(small).nodes <= 4 + 12
    points = small.patches[1].outlines[0]
    for at in range(0, len(points) - 1, 3):
        middle = (points[at] + 3 * points[at + 1] + 3 * points[at + 2] + points[at + 3]) / 8
        assert np.hypot(*(middle - 24)) == pytest.approx(20, abs=0.2)


def test_a_bump_of_curves_goes_before_a_corner():
    """Two nodes a tenth of a pixel off a side cost less than the corners of the square."""
    corners = np.array([(4, 4), (20, 4.1), (30, 3.9), (40, 4), (40, 40), (4, 40), (4, 4)], float)
    drawing = Drawing(48, 48, [PAGE, Patch("#123456", False, [corners])])
    found = next(one for one in thin.thinnings(drawing, 10, 0.001) if len(one.patches[1].outlines[0]) == 5)
    assert {tuple(one) for one in found.patches[1].outlines[0]} == {(4, 4), (40, 4), (40, 40), (4, 40)}


def test_small_patches_go_with_their_holes_and_large_ones_and_the_page_stay():
    def ring(at, size):
        outer = np.array([(0, 0), (size, 0), (size, size), (0, size), (0, 0)], float) + at
        hole = np.array([(0.4, 0.4), (0.4, 0.6), (0.6, 0.6), (0.6, 0.4), (0.4, 0.4)], float) * size + at
        return [outer, hole]

    rings = [Patch(f"#0000{10 + at}", False, ring(4 * at, 2 if at % 2 else 14)) for at in range(6)]
    drawing = Drawing(48, 48, [PAGE, *rings])
    *_, last = thin.thinnings(drawing, 1, 0.001)
    assert [one.fill for one in last.patches] == ["#ffffff", "#000010", "#000012", "#000014"]
    assert len(last.patches[0].outlines[0]) == 5


def test_what_cannot_get_smaller_is_refused():
    assert thin.thinned(Drawing(48, 48, [PAGE]), 1, 20) is None
    assert thin.thinned(parse("<svg/>"), 4, 3) is None
    assert thin.thinned(Drawing(9, 9, []), 4, 1000) is not None
    assert list(thin.thinnings(Drawing(9, 9, []), 4, 0.1)) == []
    flat = Patch("#123456", True, [np.zeros((4, 2))])
    assert thin.thinned(Drawing(9, 9, [flat, flat]), 4, 10) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 48), st.integers(0, 48)), min_size=2, max_size=30), st.booleans())
def test_any_outline_gets_thinner_step_by_step(corners, curved):
    points = np.array([*corners, corners[0]], float)
    drawing = Drawing(48, 48, [PAGE, Patch("#123456", curved, [chained(points) if curved else points])])
    sizes = [len(points) - 1] + [outline(one).nodes - 4 for one in thin.thinnings(drawing, 4, 0.01)]
    assert all(after < before for before, after in zip(sizes[:1] + sizes[1:], sizes[1:], strict=False))
    assert sizes[-1] >= 0
