"""Choosing: never worse than the menu, a wish fulfilled or said to be impossible, traces counted, failures survived."""

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.svg import choose as choosing
from netwright.svg import propose, render
from netwright.svg.choose import Wish, choose
from netwright.svg.raster import from_pixels
from netwright.svg.setting import DEFAULT, MENU
from netwright.svg.wish import SAME, preset_of
from scripted_tracer import ScriptedPredictor, ScriptedTracer, picture

RASTER = from_pixels(picture(), "circles")
WISHES = st.builds(
    Wish,
    min_ssim=st.none() | st.floats(0.05, 0.999),
    max_bytes=st.none() | st.integers(50, 20_000),
    max_paths=st.none() | st.integers(1, 400),
    mode=st.sampled_from(["auto", "curves", "polygon"]),
)
HOW = st.sampled_from([(None, "auto"), (ScriptedPredictor(), "predict"), (ScriptedPredictor(0.5), "predict")])


@settings(max_examples=25, deadline=None)
@given(WISHES, HOW)
def test_never_worse_than_the_menu_and_the_wish_is_kept_or_refused(wish, how):
    choice = choose(RASTER, wish, ScriptedTracer(), how[0], 3, how=how[1])
    best = choice.best.traced
    menu = set(propose.menu(wish.mode).values())
    presets = [one.traced for one in choice.tried if one.traced.setting in menu and one.made_of is None]
    assert len(presets) == len(menu)
    passed_over = any("the next best was taken" in said for said in choice.decisions)  # resvg drew it otherwise
    better = [one for one in presets if wish.order(one, choice.default) < wish.order(best, choice.default)]
    assert passed_over or not better
    assert best.setting.mode in {one.mode for one in menu}
    kept = (
        (wish.min_ssim is None or best.ssim >= wish.min_ssim)
        and (wish.max_bytes is None or best.bytes <= wish.max_bytes)
        and (wish.max_paths is None or best.paths <= wish.max_paths)
    )
    assert kept or not choice.granted
    assert choice.granted == (choice.needed == "")
    assert len(best.svg.encode()) == best.bytes
    if not choice.granted:
        assert choice.needed.startswith("Not reached: ")
    if not wish.limited:
        assert choice.granted
        assert best.ssim >= choice.default.ssim - SAME


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(300, 15_000), st.sampled_from([0.4, 1.0, 2.5]))
def test_quick_traces_no_more_than_asked_and_budgets_are_never_exceeded_when_claimed(traces, most, wrong):
    tracer = ScriptedTracer()
    choice = choose(RASTER, Wish(max_bytes=most), tracer, ScriptedPredictor(wrong), traces, quick=True, how="predict")
    assert len(tracer.asked) == choice.guided <= traces
    assert (choice.best.traced.bytes <= most) == choice.granted
    assert len(set(tracer.asked)) == len(tracer.asked)


def test_predictions_are_corrected_by_what_was_traced():
    """Sizes are predicted 2.5 times too large: the first trace shows it, and the last is near what was expected."""
    for most in (3_000, 8_000, 9_500):
        choice = choose(
            RASTER, Wish(max_bytes=most), ScriptedTracer(), ScriptedPredictor(2.5), 4, quick=True, how="predict"
        )
        assert 0.6 * most <= choice.best.traced.bytes <= most
        traced = [one for one in choice.tried if one.made_of is None]
        first, last = traced[0], traced[-1]
        assert abs(math.log(first.traced.bytes / first.expected.bytes)) > 0.5
        assert abs(math.log(last.traced.bytes / last.expected.bytes)) < 0.5


def test_hundreds_are_predicted_and_what_was_decided_is_told():
    predictor = ScriptedPredictor(unfamiliar=True)
    choice = choose(RASTER, Wish(), ScriptedTracer(), predictor, how="predict")
    assert predictor.predicted >= 200
    assert choice.unfamiliar
    told = " ".join(choice.decisions)
    assert "settings were predicted" in told
    assert "unlike" in told
    assert all((one.expected is None) == (one.made_of is not None) for one in choice.tried)
    assert choice.best.verified == pytest.approx(choice.best.traced.ssim, abs=0.01)
    sizes = [one.bytes for _, one in choice.predicted]
    assert sizes == sorted(sizes)


def test_a_preset_is_traced_and_nothing_else():
    tracer = ScriptedTracer()
    choice = choose(RASTER, Wish(preset="photo"), tracer, ScriptedPredictor())
    assert tracer.asked == [MENU["photo"]]
    assert preset_of(choice.best.traced.setting) == "photo"


def test_what_fails_is_passed_over():
    tracer = ScriptedTracer(lambda setting: setting.mode == "polygon" and setting.color_precision > 4)
    choice = choose(RASTER, Wish(), tracer, ScriptedPredictor(), how="predict")
    assert choice.granted
    assert any("passed over" in one for one in choice.decisions)
    tracer = ScriptedTracer(lambda setting: setting == DEFAULT)
    assert choose(RASTER, Wish(), tracer, how="measure").best.traced.setting != DEFAULT


def test_an_image_that_cannot_be_traced_is_refused():
    tracer = ScriptedTracer(lambda setting: True)
    with pytest.raises(UserError, match="cannot be traced: the tracer failed: scripted"):
        choose(RASTER, Wish(), tracer, ScriptedPredictor())
    assert len(tracer.asked) <= 4
    with pytest.raises(UserError, match="traces"):
        choose(RASTER, Wish(), tracer, traces=0)


def test_a_winner_on_which_the_renderers_disagree_is_passed_over(monkeypatch):
    drawn, true = [], render.resvg

    def wrong(svg, width, height, page=255):
        drawn.append(svg)
        pixels = true(svg, width, height, page)
        return 255 - pixels if len(drawn) == 1 else pixels

    monkeypatch.setattr(render, "resvg", wrong)
    choice = choose(RASTER, Wish(), ScriptedTracer(), how="measure")
    assert choice.best.traced.svg == drawn[1] != drawn[0]
    assert any("resvg draws" in one for one in choice.decisions)
    monkeypatch.setattr(render, "resvg", lambda svg, width, height: 255 - true(svg, width, height))
    choice = choose(RASTER, Wish(), ScriptedTracer(), how="measure")
    assert choice.best.verified is None
    assert "unverified" in choice.decisions[-1]


def test_cheap_traces_replace_predictions(monkeypatch):
    """Whether tracing is cheaper is a matter of time; the times are set here."""
    for each, outright in ((0.001, True), (10.0, False)):
        monkeypatch.setattr(choosing._Search, "seconds_each", lambda self, each=each: each)
        predictor = ScriptedPredictor()
        choice = choose(RASTER, Wish(), ScriptedTracer(), predictor, 3)
        assert (predictor.predicted == 0) == outright
        assert choice.guided == (choosing.OUTRIGHT if outright else choice.guided)
        assert any("cheaper than predicting" in one for one in choice.decisions) == outright


def test_curves_are_curves(monkeypatch):
    """A setting that is small because it is all corners is no answer to a wish for curves."""
    measure = choosing.Subject.measure

    def facets(self, tracer, setting):
        traced = measure(self, tracer, setting)
        many = 5.0 if setting.corner_threshold < 50 else 1.0
        return dataclasses.replace(traced, kinks=min(1.0, 0.1 * many), nodes=400)

    monkeypatch.setattr(choosing.Subject, "measure", facets)
    choice = choose(RASTER, Wish(mode="curves"), ScriptedTracer(), ScriptedPredictor(), how="predict")
    assert choice.best.traced.setting.mode == "spline"
    assert choice.best.traced.setting.corner_threshold >= 50
    assert any(one.traced.setting.corner_threshold < 50 for one in choice.tried)
