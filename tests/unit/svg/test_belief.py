"""Beliefs: a trace is known, corrects what is like it most, and narrows the intervals of all."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.svg import acquire
from netwright.svg.belief import BYTES, Belief, latent, measured, points
from netwright.svg.measured import Subject
from netwright.svg.raster import from_pixels
from netwright.svg.setting import DEFAULT, Setting, draw
from netwright.svg.wish import Wish
from scripted_tracer import ScriptedPredictor, ScriptedTracer, picture

RASTER = from_pixels(picture(), "circles")


def made(times=2.0, count=40):
    belief = Belief(ScriptedPredictor(times), None)
    belief.add(draw(count, seed=2))
    return belief


def test_the_predictors_own_word_comes_first():
    belief = made(1.0)
    guess = ScriptedPredictor(1.0).predict(None, belief.settings)
    expected = belief.expected(belief.settings[3])
    assert np.isclose(expected.bytes, guess.bytes[3])
    assert np.isclose(expected.ssim, guess.ssim[3])
    assert np.isclose(expected.bytes_high / expected.bytes_low, 4, rtol=0.01)
    assert expected.ssim_low < expected.ssim < expected.ssim_high
    mean_NQ, spread_NQ = latent(guess)
    assert mean_NQ.shape == spread_NQ.shape == (40, 4)


def test_a_trace_is_known_and_corrects_the_others_the_more_the_nearer_they_are():
    belief = made(2.0)
    subject, near, far = Subject(RASTER), Setting(path_precision=3), Setting(mode="polygon", color_precision=2)
    belief.add([near, far])
    before = belief.mean().copy(), belief.spread().copy()
    traced = subject.measure(ScriptedTracer(), DEFAULT)
    belief.learn(traced)
    at = {one: place for place, one in enumerate(belief.settings)}
    assert np.allclose(belief.mean()[at[DEFAULT]], measured(traced))
    assert not belief.untraced()[at[DEFAULT]]
    assert belief.untraced().sum() == len(belief.settings) - 1
    moved = np.abs(belief.mean()[: len(before[0]), BYTES] - before[0][:, BYTES])
    assert moved[at[near]] > moved[at[far]] > 0
    assert (belief.spread()[: len(before[1])] <= np.maximum(before[1], 0.11) + 1e-12).all()
    assert abs(belief.expected(near).bytes - traced.bytes) < abs(
        belief.expected(near, corrected=False).bytes - traced.bytes
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_any_traces_leave_numbers(seed, count):
    belief, subject, tracer = made(0.3), Subject(RASTER), ScriptedTracer()
    for setting in draw(count, seed=seed):
        belief.learn(subject.measure(tracer, setting))
    assert np.isfinite(belief.mean()).all()
    assert (belief.spread() > 0).all()
    found = acquire.best_next(belief, belief.untraced(), [], Wish(max_bytes=4000), None, 2)
    assert len(found.at) == belief.untraced().sum()


def test_what_should_fill_a_budget_comes_first():
    belief = made(1.0, 200)
    found = acquire.best_next(belief, belief.untraced(), [], Wish(max_bytes=6000), None, 4)
    assert 0.5 * 6000 < belief.expected(belief.settings[found.at[0]]).bytes < 7500
    tiny = acquire.best_next(belief, belief.untraced(), [], Wish(max_bytes=1), None, 4)
    assert belief.expected(belief.settings[tiny.at[0]]).bytes == min(
        belief.expected(one).bytes for one in belief.settings
    )
    assert len(acquire.best_next(belief, np.zeros(len(belief.settings), bool), [], Wish(), None, 1).at) == 0


def test_distance_is_of_what_a_parameter_does():
    first, second, third = points([Setting(filter_speckle=0), Setting(filter_speckle=1), Setting(filter_speckle=2)])
    assert math.dist(first, second) > math.dist(second, third) > 0
