"""Shaving: never above the budget, near to it, nothing that is seen left out; and what a budget leaves is spent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.svg import render, shave
from netwright.svg.choose import choose
from netwright.svg.outline import parse
from netwright.svg.raster import from_pixels
from netwright.svg.setting import Setting
from netwright.svg.tracer import Tracer
from netwright.svg.wish import Wish
from netwright.svg.written import written
from scripted_tracer import ScriptedPredictor, picture

FINE = parse('<svg xmlns="http://www.w3.org/2000/svg" width="320" height="320">\n' + "".join(
    f'<path d="M{x} {y} L{x + 8} {y} L{x + 8} {y + 8} L{x} {y + 8} Z " fill="#336699"/>\n'
    for x in range(0, 320, 8) for y in range(0, 320, 8)
) + "</svg>")  # fmt: skip


@pytest.fixture(scope="module")
def curves():
    with Tracer() as tracer:
        return parse(tracer.trace(np.ascontiguousarray(picture(96) // 32 * 32), Setting(filter_speckle=1)))


@settings(max_examples=30, deadline=None)
@given(st.booleans(), st.floats(0.02, 1.2))
def test_never_above_the_budget_and_near_it(curves, bent, share):
    drawing = curves if bent else FINE
    whole = len(written(drawing, 4 if bent else 1))
    most = int(share * whole)
    found = shave.shaved(drawing, most)
    if found is None:
        assert share < 0.95
    else:
        text = written(drawing, *found)
        assert len(text.encode()) <= most
        assert render.skia(text, 64, 64).shape == (64, 64, 3)
        if share >= 1:
            assert found == (4 if bent else 1, set())
        elif found[1]:
            assert len(text) > most - 120


def test_coarser_coordinates_go_first_and_the_page_stays(curves):
    grid, out = shave.shaved(curves, len(written(curves, 2)))
    assert (grid, out) == (2, set())
    assert 0 not in shave.shaved(FINE, 30_000)[1]
    assert shave.shaved(curves, 100) is None
    assert shave.shaved(parse("<svg/>"), 3) is None


def test_what_a_budget_leaves_makes_coordinates_finer(curves):
    sizes = {grid: len(written(curves, grid)) for grid in (4, 10, 100)}
    assert shave.filled(curves, sizes[10]) == 10
    assert shave.filled(curves, 2 * sizes[100]) == 100
    assert shave.filled(curves, sizes[4]) == 4
    assert shave.filled(FINE, 10**6) == 1


@pytest.mark.parametrize(("path", "size"), [("M0,0 L4,0 L4,2 L0,2 Z ", 8),
                                            ("M0,0 L4,0 L4,2 L0,2 Z M0 0 L1 0 L1 1 L0 1 Z", 9)])  # fmt: skip
def test_areas(path, size):
    assert parse(f'<svg width="9" height="9"><path d="{path}" fill="#123456"/></svg>').patches[0].area == size


def test_a_budget_is_filled():
    """With curves the rest is spent; what is a little above the budget is shaved."""
    raster, spent, cut = from_pixels(picture(96)), 0, 0
    with Tracer() as tracer:
        for most in (2_500, 4_000, 7_000, 12_000):
            choice = choose(raster, Wish(max_bytes=most, mode="curves"), tracer, ScriptedPredictor(1.3), 4, quick=True,
                            how="predict")  # fmt: skip
            assert choice.guided <= 4
            assert choice.best.traced.bytes <= most
            cut += sum("shaved" in one.why for one in choice.tried)
            spent += choice.best.traced.grid > 4
    assert spent + cut >= 2
