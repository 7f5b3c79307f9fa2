"""What is made of a trace: a budget is fitted or filled, what no limit needs goes; figures are of what is written."""

import numpy as np
import pytest

from netwright.svg import finish
from netwright.svg.choose import choose
from netwright.svg.measured import Subject
from netwright.svg.outline import outline, parse
from netwright.svg.raster import from_pixels
from netwright.svg.setting import Setting
from netwright.svg.tracer import Tracer
from netwright.svg.wish import Wish
from netwright.svg.written import written
from scripted_tracer import ScriptedPredictor, picture

RASTER = from_pixels(np.ascontiguousarray(picture(96) // 32 * 32))


@pytest.fixture(scope="module")
def subject():
    return Subject(RASTER)


@pytest.fixture(scope="module")
def traced(subject):
    with Tracer() as tracer:
        return {mode: subject.measure(tracer, Setting(mode=mode, filter_speckle=1)) for mode in ("spline", "polygon")}


@pytest.mark.parametrize("mode", ["spline", "polygon"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_budget_is_fitted(subject, traced, mode, share):
    most = int(share * traced[mode].bytes)
    found = finish.fitted(subject, traced[mode], most)
    assert [one.grid for one in found] == ([3, 2] if mode == "spline" else [1])
    for one in found:
        assert 0.85 * most < one.bytes <= most
        assert one.bytes == len(one.svg.encode()) == len(written(one.drawing, one.grid))
        assert one.paths == one.svg.count("<path ")
        assert one.nodes == outline(one.drawing).nodes
    assert finish.fitted(subject, traced[mode], 100) == []


def test_what_a_budget_leaves_makes_coordinates_finer(subject, traced):
    one = traced["spline"]
    sizes = {grid: len(written(one.drawing, grid)) for grid in range(1, 101)}
    assert finish.filled(subject, one, 2 * sizes[100]).grid == 100
    assert finish.filled(subject, one, sizes[4]) is None
    most = sizes[10] + 1
    found = finish.filled(subject, one, most)
    assert found.bytes == sizes[found.grid] <= most < sizes[found.grid + 1]
    assert finish.filled(subject, traced["polygon"], 10**6) is None, "its coordinates are whole"


@pytest.mark.parametrize("mode", ["spline", "polygon"])
def test_what_no_limit_needs_goes(subject, traced, mode):
    one = traced[mode]
    found = finish.trimmed(subject, one, lambda each: each.ssim >= one.ssim - 0.01)
    assert found.bytes < 0.97 * one.bytes
    assert found.ssim >= one.ssim - 0.01
    assert subject.draw(found, parse_again(found), 1).ssim == pytest.approx(found.ssim, abs=0.01)
    assert finish.trimmed(subject, one, lambda each: False) is None


def parse_again(one):
    """The drawing, by way of VTracer's form: what is kept can be written and read."""
    paths = "".join(
        f'<path d="{"".join(said(points, patch.curved) for points in patch.outlines)}" fill="{patch.fill}"/>'
        for patch in one.drawing.patches
    )
    return parse(f'<svg width="96" height="96">{paths}</svg>')


def said(points, curved):
    rows = [f"{x * 8:.3f} {y * 8:.3f}" for x, y in points / 8]
    if not curved:
        return "M" + " L".join(rows[:-1]) + " Z "
    return "M" + rows[0] + "".join(f" C{' '.join(rows[at : at + 3])}" for at in range(1, len(rows), 3)) + " Z "


@pytest.mark.parametrize("mode", ["auto", "curves", "polygon"])
def test_budgets_are_hit_or_more_would_be_worse(mode):
    hit = 0
    with Tracer() as tracer:
        for most in (1_500, 2_500, 3_500):
            choice = choose(RASTER, Wish(max_bytes=most, mode=mode), tracer, ScriptedPredictor(1.3), 4, quick=True,
                            how="predict")  # fmt: skip
            assert choice.guided <= 4
            best = choice.best.traced
            assert best.bytes <= most
            cut = [one.traced for one in choice.tried if "made to fit" in one.why]
            assert best.bytes >= 0.9 * most or all(one.ssim < best.ssim for one in cut)
            hit += any(0.9 * most <= one.bytes <= most for one in (best, *cut))
    assert hit == 3


@pytest.mark.parametrize("wish", [Wish(), Wish(mode="curves"), Wish(min_ssim=0.8), Wish(min_ssim=0.7, mode="polygon")])
def test_the_answer_to_a_wish_is_trimmed(wish):
    with Tracer() as tracer:
        choice = choose(RASTER, wish, tracer, ScriptedPredictor(1.0), 5, quick=True, how="predict")
    assert choice.granted
    assert wish.shortfall(choice.best.traced, choice.default) == 0
    plain = [one.traced for one in choice.tried if "trimmed" not in one.why]
    fulfilling = [one.bytes for one in plain if wish.shortfall(one, choice.default) == 0]
    assert choice.best.traced.bytes <= min(fulfilling)
