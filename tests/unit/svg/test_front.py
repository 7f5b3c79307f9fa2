"""Fronts of real traces: the menu first, each setting once, ends early when told to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.svg import front, propose
from netwright.svg.measured import Subject, Traced
from netwright.svg.raster import from_pixels
from netwright.svg.setting import DEFAULT, MENU
from netwright.svg.tracer import TraceError
from svg_server import logo

SUBJECT = Subject(from_pixels(np.array(logo(32))))


class Drawn:
    """A tracer whose SVG has as many paths as the setting keeps colours; it fails on some."""

    def __init__(self, fails=()):
        self.fails, self.asked = fails, []

    def trace(self, pixels_HWC, setting):
        self.asked.append(setting)
        if setting in self.fails:
            raise TraceError("no")
        path = f'<path d="M0 0 L{setting.color_precision} 0 L8 {setting.filter_speckle} Z" fill="#0b5fa5"/>'
        count = setting.color_precision * (20 - setting.filter_speckle)
        return f'<svg width="32" height="32" xmlns="http://www.w3.org/2000/svg">{path * count}</svg>'


@pytest.mark.parametrize("mode", ["auto", "curves", "polygon"])
def test_the_menu_comes_first_and_nothing_is_traced_twice(mode):
    tracer = Drawn()
    found = list(front.points(SUBJECT, tracer, mode, more=7))
    menu = propose.menu(mode)
    assert [point.preset for point in found[: len(menu)]] == list(menu)
    assert len(found) == len(menu) + 7
    further = [propose.plain(point.setting) for point in found[len(menu) :]]
    known = {propose.plain(one) for one in menu.values()}
    assert len({*further, *known}) == len(further) + len(known)
    assert {point.setting.mode for point in found} == {one.mode for one in menu.values()}


def test_what_fails_is_told_and_the_others_go_on():
    found = list(front.points(SUBJECT, Drawn(fails=[DEFAULT, MENU["polygon"]]), more=3))
    assert {point.preset for point in found if point.traced is None} == {"default", "polygon"}
    assert {point.why for point in found if point.traced is None} == {"no"}
    assert len(found) == len(MENU) + 3


def test_where_all_fails_there_is_no_front_and_no_fault():
    class Failing:
        def trace(self, pixels_HWC, setting):
            raise TraceError("no")

    assert all(point.traced is None for point in front.points(SUBJECT, Failing(), more=2))


@pytest.mark.parametrize("most", [0, 1, len(MENU), len(MENU) + 2])
def test_it_ends_when_told_to(most):
    found = []
    for point in front.points(SUBJECT, Drawn(), going=lambda: len(found) < most):
        found.append(point)
    assert len(found) == most


def traced(ssim, size):
    return Traced(DEFAULT, "", ssim, ssim, size, size, 1, 1, 0.0, 0.0, 0.0, 0.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 1000)), min_size=1, max_size=30))
def test_the_efficient_ones_are_dominated_by_none_and_dominate_all_others(values):
    all_ = [traced(*one) for one in values]
    kept = front.efficient(all_)
    assert kept == sorted(kept, key=lambda one: one.bytes)
    for one in all_:
        better = [other for other in kept if other.bytes <= one.bytes and other.ssim >= one.ssim]
        assert better, "every trace is matched by one that is kept"
    for one in kept:
        assert not [k for k in kept if k is not one and k.bytes <= one.bytes and k.ssim >= one.ssim]


def test_a_predictor_chooses_along_its_own_front():
    class Linear:
        """Larger and more alike with every bit of colour; speckles only cost."""

        def features(self, raster):
            return None

        def predict(self, about, settings):
            bits = np.array([one.color_precision for one in settings], float)
            waste = np.array([one.filter_speckle for one in settings], float)
            made = type("Guess", (), {})()
            for what, value in {"ssim": bits / 10, "bytes": 10**bits + waste, "paths": bits, "corners": bits}.items():
                for end, share in (("", 1), ("_low", 0.9), ("_high", 1.1)):
                    setattr(made, what + end, value * share)
            return made

    found = list(front.points(SUBJECT, Drawn(), "auto", Linear(), more=6))
    further = [point.setting.color_precision for point in found[len(MENU) :]]
    assert len(further) == 6
    assert set(further) >= {2, 8}, "from the smallest to the most alike"
    assert len(set(further)) >= 4
    assert all(point.guess["bytes_low"] < point.guess["bytes"] < point.guess["bytes_high"] for point in found)
    assert found[0].guess["ssim"] == pytest.approx(found[0].setting.color_precision / 10)
