"""Two renderers that know nothing of each other draw the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.svg.render import RenderError, resvg, skia

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" width="32" height="24">'


@pytest.mark.parametrize("draw", [skia, resvg])
def test_a_rectangle_stands_where_it_was_put(draw):
    pixels = draw(f'{HEAD}<rect x="8" y="4" width="16" height="8" fill="#102030"/></svg>', 32, 24)
    expected = np.full((24, 32, 3), 255)
    expected[4:12, 8:24] = (16, 32, 48)
    assert (pixels == expected).all()


@pytest.mark.parametrize("draw", [skia, resvg])
def test_it_is_drawn_at_the_size_and_on_the_page_asked_for(draw):
    pixels = draw(f'{HEAD}<rect x="8" y="4" width="16" height="8" fill="#000"/></svg>', 128, 96, page=100)
    assert pixels.shape == (96, 128, 3)
    assert (pixels[:16] == 100).all()
    assert (pixels[20:44, 40:90] == 0).all()


@given(
    points=st.lists(st.tuples(st.integers(0, 32), st.integers(0, 24)), min_size=3, max_size=6), grey=st.integers(0, 200)
)
@settings(max_examples=15, deadline=None)
def test_both_draw_the_same_polygon(points, grey):
    outline = " ".join(f"{x},{y}" for x, y in points)
    svg = f'{HEAD}<polygon points="{outline}" fill="rgb({grey},{grey},{grey})"/></svg>'
    difference = np.abs(skia(svg, 32, 24).astype(int) - resvg(svg, 32, 24))
    assert difference.mean() < 3
    assert np.median(difference) == 0


@pytest.mark.parametrize("svg", ["", "no svg", "<svg", "<html/>"])
@pytest.mark.parametrize("draw", [skia, resvg])
def test_what_is_no_svg_is_an_error(draw, svg):
    with pytest.raises(RenderError):
        draw(svg, 16, 16)
