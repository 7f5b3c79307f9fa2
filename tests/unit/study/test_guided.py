"""Measuring only what could be best: the front that is found, what it costs, and volumes known by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.study.guided import Known, beliefs, explore, point
from netwright.study.pareto import hypervolume


def space(seed=0, count=5):
    """Networks x runtimes x threads whose predictions are wrong by a factor that runtimes and threads share."""
    generator = np.random.default_rng(seed)
    off = {name: generator.normal(0, 0.5) for name in ("a", "b", "c", "1", "2")}
    known, truth = [], []
    for net, runtime, threads in itertools.product(range(count), "abc", "12"):
        work = 2.0**-net
        predicted = 1e-3 * work * {"a": 1, "b": 0.7, "c": 0.4}[runtime] / int(threads)
        size = 1e6 * work * {"a": 1, "b": 1, "c": 0.25}[runtime]
        accuracy = 0.9 - 0.01 * net - (0.003 if runtime == "c" else 0)
        alike = {"runtime": runtime, "work": str(net), "threads": threads}
        known.append(Known(accuracy, size, predicted, alike))
        truth.append(predicted * math.exp(1.0 + off[runtime] + off[threads] + generator.normal(0, 0.07)))
    return known, truth


def volume(known, latency):
    points = [point(known[at], value) for at, value in latency.items()]
    reference = (0.2, math.log(1.0), math.log(1e7))
    return hypervolume(points, reference)


def test_most_of_the_front_is_found_with_a_part_of_the_measurements():
    shares = []
    for seed in range(6):
        known, truth = space(seed)
        found = explore(known, truth.__getitem__, most=round(0.4 * len(known)))
        assert all(found[at] == truth[at] for at in found)
        shares.append(volume(known, found) / volume(known, dict(enumerate(truth))))
    assert np.mean(shares) >= 0.98
    assert min(shares) >= 0.95


def test_what_is_ruled_out_was_not_on_the_front():
    known, truth = space(3)
    found = explore(known, lambda at: truth[at])
    assert len(found) < len(known)
    assert volume(known, found) >= 0.999 * volume(known, dict(enumerate(truth)))


def test_what_was_measured_is_believed_and_tells_of_its_like():
    known, truth = space()
    before, wide = beliefs(known, {})
    after, narrow = beliefs(known, {0: truth[0], 7: truth[7]})
    assert after[0] == pytest.approx(math.log(truth[0]))
    assert narrow[0] == 0
    assert (narrow <= wide + 1e-9).all()
    errors = [np.abs(np.log(truth) - mean)[1:].mean() for mean in (before, after)]
    assert errors[1] < errors[0]


def test_no_more_is_measured_than_allowed():
    known, truth = space()
    assert len(explore(known, lambda at: truth[at], most=3)) == 3


@pytest.mark.parametrize(
    ("points", "reference", "volume"),
    [
        ([], (1, 1), 0),
        ([(0, 0)], (1, 2), 2),
        ([(2, 0)], (1, 1), 0),
        ([(0, 0.5), (0.5, 0)], (1, 1), 0.75),
        ([(0, 0, 0)], (1, 2, 3), 6),
        ([(0, 0, 0.5), (0.5, 0.5, 0)], (1, 1, 1), 0.5 + 0.25 * 0.5),
    ],
)
def test_volumes_known_by_hand(points, reference, volume):
    assert hypervolume(points, reference) == pytest.approx(volume)


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), max_size=7))
@settings(max_examples=60, deadline=None)
def test_the_volume_is_what_random_points_say(points):
    sample = np.random.default_rng(0).uniform(size=(20_000, 3))
    inside = np.zeros(len(sample), bool)
    for one in points:
        inside |= (sample >= one).all(1)
    assert hypervolume(points, (1.0, 1.0, 1.0)) == pytest.approx(inside.mean(), abs=0.02)
