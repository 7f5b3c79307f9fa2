"""Wishes: what is refused, what counts as fulfilled, which of two traces is better."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.svg.measured import Traced
from netwright.svg.setting import DEFAULT, Setting
from netwright.svg.wish import SAME, Wish, preset_of


def traced(ssim=0.95, size=5000, paths=20, nodes=100, kinks=0.3, curved=1.0, setting=DEFAULT):
    return Traced(setting, "", ssim, ssim, size, 2 * size, paths, nodes, curved, kinks, 0.01, 0.01)


BASE = traced()
TRACES = st.builds(traced, st.floats(0.1, 0.999), st.integers(100, 10**6), st.integers(1, 10**4))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"min_ssim": 0.0}, "--min-ssim"), ({"min_ssim": 1.1}, "--min-ssim"), ({"min_ssim": math.nan}, "--min-ssim"),
        ({"max_bytes": 0}, "--max-bytes"), ({"max_paths": -3}, "--max-paths"), ({"mode": "curvs"}, "--mode"),
        ({"preset": "foto"}, "--preset"), ({"preset": "photo", "max_bytes": 9}, "--preset"),
        ({"preset": "photo", "mode": "polygon"}, "--preset"),
    ],
)  # fmt: skip
def test_what_cannot_be_wished_for(wrong, named):
    with pytest.raises(UserError) as refusal:
        Wish(**wrong)
    assert refusal.value.setting == named


def test_without_limits_the_default_sets_the_floor():
    wish = Wish()
    assert wish.shortfall(traced(0.95 - SAME, 1), BASE) == 0
    assert wish.shortfall(traced(0.95 - 2 * SAME, 1), BASE) > 0
    assert wish.aim == "bytes"
    assert Wish(max_bytes=100).aim == "ssim"
    assert Wish(max_bytes=100, min_ssim=0.9).aim == "bytes"
    assert Wish(max_bytes=100).floor(BASE) < 0


def test_a_drawn_curve_may_not_have_many_more_corners_than_the_default():
    facets = traced(0.96, 3000, kinks=0.6)
    assert Wish(mode="curves").shortfall(facets, BASE) > 0
    assert Wish().shortfall(facets, BASE) == 0
    assert Wish(mode="curves").shortfall(traced(0.96, 3000, nodes=60, kinks=0.6), BASE) == 0
    assert Wish(mode="curves").shortfall(traced(0.96, 3000, curved=0.0), BASE) > 1


@given(st.lists(TRACES, min_size=1, max_size=8), st.integers(100, 10**5))
def test_what_fits_comes_before_what_does_not(found, most):
    wish = Wish(max_bytes=most)
    best = min(found, key=lambda one: wish.order(one, BASE))
    fitting = [one for one in found if one.bytes <= most]
    if fitting:
        assert best.bytes <= most
        assert best.ssim >= max(one.ssim for one in fitting) - 0.0005
    else:
        assert best.bytes == min(one.bytes for one in found)


def test_of_equals_the_one_that_fills_the_budget_wins():
    small, large = traced(0.95, 2000), traced(0.9501, 2900)
    assert min((small, large), key=lambda one: Wish(max_bytes=3000).order(one, BASE)) is large
    assert min((small, large), key=lambda one: Wish(max_paths=30).order(one, BASE)) is small
    assert min((small, large), key=lambda one: Wish(min_ssim=0.9, max_bytes=3000).order(one, BASE)) is small


@given(st.lists(TRACES, min_size=1, max_size=8), st.floats(0.1, 1.0))
def test_the_fewest_bytes_that_are_alike_enough_or_the_most_alike(found, least):
    wish = Wish(min_ssim=least)
    best = min(found, key=lambda one: wish.order(one, BASE))
    fitting = [one for one in found if one.ssim >= least]
    if fitting:
        assert best.bytes == min(one.bytes for one in fitting)
        assert best.ssim >= least
    else:
        assert best.ssim == max(one.ssim for one in found)


def test_words():
    assert (
        Wish(0.9, 2000, 30, "curves").words()
        == "SSIM of at least 0.9, at most 2,000 bytes, at most 30 paths, curves only"
    )
    assert "default" in Wish().words()
    assert preset_of(Setting(mode="polygon")) == "polygon"
    assert preset_of(Setting(corner_threshold=61)) == ""
