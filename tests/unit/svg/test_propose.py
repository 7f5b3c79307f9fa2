"""Proposals: all are settings, nothing varies that has no effect, and what lies between does lie between."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.svg import propose
from netwright.svg.setting import RANGES, Setting, allowed, draw

MODES = st.sampled_from(["auto", "curves", "polygon"])


@settings(deadline=None)
@given(MODES, st.integers(0, 1000))
def test_neighbours_keep_to_the_mode(mode, seed):
    start = propose.spread(4, mode, seed)
    found = propose.near(start, 5, np.random.default_rng(seed))
    assert len(found) == 20
    assert {one.mode for one in found} <= set(allowed(mode))
    for one in found:
        default = Setting(mode=one.mode)
        assert all(getattr(one, name) == getattr(default, name) for name in propose.USELESS[one.mode])
        assert one.path_precision == default.path_precision
    assert len(set(found) - set(start)) > 5


@given(st.integers(0, 1000))
def test_between(seed):
    first, second, third = draw(3, "curves", seed)
    for one in propose.between(first, second):
        for name in RANGES:
            low, high = sorted((getattr(first, name), getattr(second, name)))
            assert low - 0.01 <= getattr(one, name) <= high + 0.01
    assert propose.between(first, Setting(mode="polygon")) == []
    assert len(propose.between(first, third, 5)) == 5


def test_the_menu_of_a_mode():
    assert len(propose.menu("auto")) == 10
    assert {one.mode for one in propose.menu("curves").values()} == {"spline"}
