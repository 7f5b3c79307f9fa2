"""One setting on one image: every figure belongs to the SVG that is handed over."""

import numpy as np
import pytest

from netwright.svg import render
from netwright.svg.likeness import Reference
from netwright.svg.measured import Subject
from netwright.svg.outline import outline
from netwright.svg.raster import from_pixels
from netwright.svg.setting import MENU
from netwright.svg.tracer import Tracer


@pytest.fixture(scope="module")
def tracer():
    with Tracer() as one:
        yield one


def disc(alpha):
    y, x = np.mgrid[:40, :56]
    inside = (x - 28) ** 2 + (y - 20) ** 2 < 200
    pixels = np.zeros((40, 56, 4), np.uint8)
    pixels[inside] = (200, 40, 60, 255)
    pixels[~inside] = (0, 0, 0, 0) if alpha else (255, 255, 255, 255)
    return from_pixels(pixels)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("name", ["default", "polygon"])
def test_the_figures_are_those_of_the_svg(tracer, alpha, name):
    image = disc(alpha)
    traced = Subject(image).measure(tracer, MENU[name])
    again = Reference(image.on_white_HWC).compare(render.skia(traced.svg, 56, 40))
    assert (traced.ssim, traced.ssim_active) == (again.ssim, again.ssim_active)
    assert traced.ssim > 0.9
    counts = outline(traced.drawing)
    assert (traced.bytes, traced.paths, traced.nodes) == (len(traced.svg.encode()), counts.paths, counts.nodes)
    assert traced.svg.count("<path ") == traced.paths
    assert traced.bytes < 0.7 * traced.tracer_bytes
    assert traced.setting == MENU[name]
    assert traced.trace_s > 0 < traced.compare_s
    assert traced.paths == (1 if alpha else 2)
