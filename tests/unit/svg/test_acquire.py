"""What to trace next: what is more alike than needed counts as smaller, what exceeds a budget as less alike."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.svg.acquire import above, best_next
from netwright.svg.measured import Traced
from netwright.svg.setting import DEFAULT
from netwright.svg.wish import Wish

BASE = Traced(DEFAULT, "", 0.9, 0.9, 5000, 9000, 20, 100, 1.0, 0.1, 0.01, 0.01)


class Told:
    """A belief of settings that are told: (ssim, bytes), each as sure as the next."""

    def __init__(self, *settings, spread=0.05):
        self._mean = np.array([(math.log(1 - ssim), math.log(size), 3.0, 0.0) for ssim, size in settings])
        self._spread = spread

    def mean(self):
        return self._mean

    def spread(self):
        return np.full_like(self._mean, self._spread)


def first(wish, *settings, thins=True, left=4):
    found = best_next(Told(*settings), np.ones(len(settings), bool), [BASE], wish, BASE, left, thins)
    return int(found.at[0])


@given(st.floats(-3, 3), st.floats(0.1, 2))
def test_the_positive_part_of_a_normal_variable(mean, spread):
    drawn = mean + spread * np.random.default_rng(0).standard_normal(20_000)
    assert above(mean, spread) == pytest.approx(np.maximum(drawn, 0).mean(), abs=0.05 * spread)


def test_what_is_more_alike_than_needed_counts_as_smaller():
    """At equal sizes, and against a somewhat smaller one; not against one of half the bytes."""
    assert first(Wish(), (0.905, 3000), (0.93, 3000)) == 1
    assert first(Wish(), (0.905, 2700), (0.93, 3000)) == 1
    assert first(Wish(), (0.905, 1000), (0.93, 3000)) == 0
    assert first(Wish(min_ssim=0.9), (0.905, 2700), (0.93, 3000)) == 1


def test_what_exceeds_a_budget_counts_as_less_alike():
    budget = Wish(max_bytes=3000)
    assert first(budget, (0.90, 3000), (0.905, 7000)) == 0
    assert first(budget, (0.90, 3000), (0.93, 4000)) == 1
    assert first(budget, (0.90, 2950), (0.93, 4000), thins=False) == 0
    assert first(budget, (0.80, 1000), (0.90, 3100)) == 1


@given(st.lists(st.tuples(st.floats(0.3, 0.99), st.integers(100, 10**5)), min_size=1, max_size=9), st.integers(1, 6))
def test_every_open_setting_is_ranked_once(settings, left):
    for wish in (Wish(), Wish(max_bytes=3000), Wish(min_ssim=0.8, max_bytes=9000), Wish(max_paths=9)):
        open_N = np.arange(len(settings)) % 3 < 2
        found = best_next(Told(*settings), open_N, [BASE], wish, BASE, left, True)
        assert sorted(found.at) == list(np.flatnonzero(open_N))
        assert found.worth >= 0
