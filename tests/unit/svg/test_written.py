"""Written small: the same picture in fewer bytes, whatever was traced."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.svg import render
from netwright.svg.likeness import Reference
from netwright.svg.outline import Drawing, Patch, parse
from netwright.svg.setting import MENU, Setting
from netwright.svg.tracer import Tracer
from netwright.svg.written import colour, written
from scripted_tracer import picture


@pytest.fixture(scope="module")
def traced():
    pixels = np.ascontiguousarray(picture(96) // 32 * 32)
    ways = {name: MENU[name] for name in ("default", "polygon")} | {"none": Setting(mode="none")}
    with Tracer() as tracer:
        return {name: tracer.trace(pixels, one) for name, one in ways.items()}


@pytest.mark.parametrize("name", ["default", "polygon", "none"])
@pytest.mark.parametrize("draw", [render.skia, render.resvg])
def test_it_looks_the_same_and_is_smaller(traced, name, draw):
    svg = traced[name]
    small = written(parse(svg), 4)
    before, after = draw(svg, 96, 96), draw(small, 96, 96)
    assert Reference(before).compare(after).ssim > 0.997
    assert len(small) < 0.65 * len(svg)
    assert small.count("<path ") == svg.count("<path ")


def test_whole_coordinates_are_kept_to_the_pixel(traced):
    svg = traced["polygon"]
    assert parse(svg).whole
    assert not parse(traced["default"]).whole
    assert np.array_equal(render.skia(svg, 96, 96), render.skia(written(parse(svg), 1), 96, 96))


@given(st.integers(1, 40))
@settings(max_examples=12, deadline=None)
def test_a_finer_grid_takes_more_bytes_and_the_size_is_told(traced, grid):
    drawing = parse(traced["default"])
    text = written(drawing, grid)
    assert f'width="96" height="96" viewBox="0 0 {96 * grid} {96 * grid}"' in text
    assert len(text) <= len(written(drawing, 8 * grid))


def square(*corners, curved=False, fill="#336699"):
    return Patch(fill, curved, [np.array(corners, float)])


def test_lines_go_on_and_follow_the_axes():
    drawing = Drawing(9, 9, [square((1, 1), (3, 1), (5, 1), (5, 5), (5, 5), (1, 4), (1, 1))])
    assert written(drawing, 1).endswith('<path d="m1 1h4v4l-4-1z" fill="#369"/></svg>\n')


def test_straight_curves_are_lines_and_bent_ones_stay():
    straight = square((0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (3, 2), (3, 3), (2, 4), (0, 2), (0, 0), curved=True)
    assert 'd="m0 0h3v3c-1 1-3-1-3-3z"' in written(Drawing(9, 9, [straight]), 1)


def test_outlines_of_a_path_start_where_the_last_one_did():
    two = Patch("#000000", False, [np.array([(1, 1), (3, 1), (3, 3), (1, 1)], float),
                                   np.array([(2, 5), (4, 5), (4, 7), (2, 5)], float)])  # fmt: skip
    assert '<path d="m1 1h2v2zm1 4h2v2z"/>' in written(Drawing(9, 9, [two]), 1)


def test_what_has_no_area_is_left_out():
    flat = square((0, 0), (0.1, 0), (0.1, 0.1), (0, 0))
    assert "<path" not in written(Drawing(9, 9, [flat]), 1)
    assert "<path" in written(Drawing(9, 9, [flat]), 10)


def test_colours():
    assert (colour("#AABBCC"), colour("#AABBCD"), colour("red")) == ("#ABC", "#AABBCD", "red")


@given(st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=3, max_size=12))
def test_any_polygon_reads_back(points):
    """The relative commands lead through the same corners, but for those on a line."""
    text = written(Drawing(9, 9, [square(*points, points[0])]), 1)
    x = y = 0
    seen = set()
    for command, numbers in re.findall(r"([mlhvz])([^mlhvz]*)", "".join(re.findall(r' d="([^"]*)"', text))):
        values = [int(one) for one in re.findall(r"-?\d+", numbers)]
        if command in "ml":
            for dx, dy in zip(values[::2], values[1::2], strict=True):
                x, y = x + dx, y + dy
                seen.add((x, y))
        for step in values if command in "hv" else ():
            x, y = (x + step, y) if command == "h" else (x, y + step)
            seen.add((x, y))
    assert seen <= set(points)
    if seen:
        for a, b in points:  # the rest lies within the box of those kept
            assert min(p for p, _ in seen) <= a <= max(p for p, _ in seen)
            assert min(q for _, q in seen) <= b <= max(q for _, q in seen)
