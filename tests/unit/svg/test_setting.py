"""Settings: what is allowed, what is drawn, and the numbers a predictor sees."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.svg.setting import COLUMNS, DEFAULT, MENU, MODES, RANGES, Setting, allowed, draw, vectors


@pytest.mark.parametrize("name", sorted(RANGES))
def test_both_ends_of_a_range_are_allowed_and_what_lies_beyond_is_not(name):
    low, high = (value if name == "length_threshold" else int(value) for value in RANGES[name])
    assert getattr(Setting(**{name: low}), name) == low
    assert getattr(Setting(**{name: high}), name) == high
    for beyond in (low - 1, high + 1, float("nan"), "7", None, True):
        with pytest.raises(UserError, match=name):
            Setting(**{name: beyond})


def test_a_share_of_a_whole_parameter_is_refused():
    with pytest.raises(UserError, match="whole number"):
        Setting(color_precision=5.5)


def test_an_unknown_mode_is_refused_with_the_nearest():
    with pytest.raises(UserError, match='did you mean "polygon"'):
        Setting(mode="polygons")


@given(seed=st.integers(0, 2**31), count=st.integers(0, 40), mode=st.sampled_from(["curves", "polygon", "auto"]))
@settings(deadline=None)
def test_drawn_settings_are_allowed_as_many_as_asked_and_the_same_for_a_seed(seed, count, mode):
    found = draw(count, mode, seed)
    assert len(found) == count
    assert {one.mode for one in found} <= set(allowed(mode))
    assert found == draw(count, mode, seed)


def test_the_whole_of_each_range_is_drawn_from():
    found = draw(512, modes=MODES)
    for name, (low, high) in RANGES.items():
        values = [getattr(one, name) for one in found]
        assert min(values) <= low + 0.05 * (high - low)
        assert max(values) >= high - 0.05 * (high - low)
    assert set(Counter(one.mode for one in found)) == set(MODES)


def test_a_mode_named_more_often_is_drawn_more_often():
    counts = Counter(one.mode for one in draw(256, modes=("spline",) * 3 + ("polygon",)))
    assert counts["spline"] == pytest.approx(192, abs=8)


def test_vectors_stand_in_their_columns_between_0_and_1():
    ends = {name: (low if name == "length_threshold" else int(low), int(high)) for name, (low, high) in RANGES.items()}
    lowest = Setting(mode="none", **{name: low for name, (low, _) in ends.items()})
    highest = Setting(mode="spline", **{name: high for name, (_, high) in ends.items()})
    rows = vectors([lowest, highest, DEFAULT])
    assert rows.shape == (3, len(COLUMNS))
    assert (rows[0] == 0).all()
    assert rows[1].tolist() == [1.0, 0.0, *(1.0 for _ in RANGES)]
    assert rows[2, COLUMNS.index("color_precision")] == pytest.approx((6 - 2) / (8 - 2))
    assert rows.dtype == np.float32


def test_a_setting_survives_being_written_down():
    for setting in MENU.values():
        assert Setting(**setting.plain()) == setting
