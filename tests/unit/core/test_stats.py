"""Intervals cover as often as they say: by simulation with fixed seeds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core import stats


def coverage(truth, interval_of, draws=400):
    hits = 0
    for seed in range(draws):
        found = interval_of(np.random.default_rng(seed))
        hits += found.low <= truth <= found.high
    return hits / draws


def test_bootstrap_of_a_mean_covers():
    assert 0.91 <= coverage(2.0, lambda r: stats.bootstrap(r.normal(2, 3, 60), resamples=400)) <= 0.98
    assert 0.89 <= coverage(1.0, lambda r: stats.bootstrap(r.exponential(1, 60), resamples=400)) <= 0.98


@pytest.mark.parametrize("q", [0.5, 0.9])
def test_quantile_covers(q):
    truth = -math.log(1 - q)  # of the exponential distribution
    assert coverage(truth, lambda r: stats.quantile(r.exponential(1, 100), q), 1000) >= 0.94


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_proportion_covers(share):
    assert coverage(share, lambda r: stats.proportion(int(r.binomial(500, share)), 500), 1000) >= 0.925


def test_two_samples_of_one_process_differ_in_about_five_of_a_hundred():
    def draw(trial):
        random = np.random.default_rng(trial)
        return random.normal(0, 1, 80), random.normal(0, 1, 80)

    rate = stats.false_difference_rate(draw, trials=300)
    assert rate.low <= 0.05 <= rate.high


def test_a_real_difference_is_seen():
    random = np.random.default_rng(0)
    base = random.normal(0, 5, 200)  # pairs share what varies most
    found = stats.paired(base + 0.5 + random.normal(0, 0.5, 200), base)
    assert found.excludes_zero
    assert found.value == pytest.approx(0.5, abs=0.1)


def test_ratio_is_the_median_of_ratios():
    found = stats.ratio([2.0, 4.0, 60.0], [1.0, 2.0, 3.0])
    assert found.value == 2.0
    assert (found.low, found.high, found.n) == (2.0, 20.0, 3)


def test_bootstrap_is_the_same_for_the_same_seed_only():
    values = np.random.default_rng(1).normal(size=30)
    assert stats.bootstrap(values, seed=4) == stats.bootstrap(values, seed=4)
    assert stats.bootstrap(values, seed=4) != stats.bootstrap(values, seed=5)


def test_bootstrap_in_blocks_is_as_wide_as_at_once(monkeypatch):
    values = np.random.default_rng(1).normal(size=200)
    whole = stats.bootstrap(values)
    monkeypatch.setattr(stats, "_AT_ONCE", 1)
    parts = stats.bootstrap(values)
    assert (parts.low, parts.high) == (pytest.approx(whole.low, abs=0.02), pytest.approx(whole.high, abs=0.02))


def test_one_observation_is_a_point():
    assert stats.bootstrap([3.0]) == stats.Interval(3.0, 3.0, 3.0, 1)
    assert stats.quantile([3.0], 0.9) == stats.Interval(3.0, 3.0, 3.0, 1)


def test_z_value():
    assert stats.z_value(0.95) == pytest.approx(1.959964, abs=1e-6)
    assert stats.z_value(0.5) == pytest.approx(0.674490, abs=1e-6)


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.inf], [[1.0]], 3.0])
def test_what_is_no_sample_is_refused(values):
    with pytest.raises(ValueError, match="finite observations"):
        stats.bootstrap(values)


def test_samples_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="equal lengths"):
        stats.paired([1.0, 2.0], [1.0])


@pytest.mark.parametrize(("successes", "n"), [(3, 2), (-1, 2), (0, 0)])
def test_what_is_no_share_is_refused(successes, n):
    with pytest.raises(ValueError, match="no share"):
        stats.proportion(successes, n)


@pytest.mark.parametrize(("successes", "low", "high"), [(0, 0.0, 0.00038), (10_000, 0.99962, 1.0)])
def test_a_share_at_the_end_has_an_interval_inside(successes, low, high):
    found = stats.proportion(successes, 10_000)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


def test_a_weighted_median_is_where_half_the_weight_lies():
    assert stats.weighted_median([3.0, 1.0, 2.0], [1, 1, 1]) == 2.0
    assert stats.weighted_median([3.0, 1.0, 2.0], [5, 1, 1]) == 3.0
    assert stats.weighted_median([7.0], [0.1]) == 7.0


def test_a_conformal_limit_holds_what_it_says():
    random = np.random.default_rng(0)
    held = [abs(random.standard_normal()) <= stats.conformal(abs(random.standard_normal(30)), 0.9) for _ in range(2000)]
    assert 0.88 <= np.mean(held) <= 0.94
    assert stats.conformal([1.0] * 8, 0.9) == np.inf
    assert stats.conformal(range(1, 10), 0.9) == 9.0


def test_groups_weigh_the_same_in_a_conformal_limit():
    errors = [0.1] * 90 + [1.0 + at for at in range(9)]
    assert stats.conformal(errors, 0.9) == 0.1
    assert stats.conformal(errors, 0.9, ["large"] * 90 + [f"small {at}" for at in range(9)]) == 9.0
    assert stats.conformal(errors, 0.9, ["large"] * 99) == np.inf
    assert stats.conformal(range(20), 0.9, [f"own {at}" for at in range(20)]) == stats.conformal(range(20), 0.9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(3, 60))
def test_a_correlation_is_pearsons_whatever_is_added_or_multiplied(seed, n):
    random = np.random.default_rng(seed)
    a, b = random.normal(size=n), random.normal(size=n)
    found = stats.correlation(a, b)
    assert found.value == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-9)
    moved = stats.correlation(3 * a + 1000, -2 * b + 7)
    assert moved.value == pytest.approx(-found.value, abs=1e-6)
    assert (moved.low, moved.high) == (pytest.approx(-found.high, abs=0.05), pytest.approx(-found.low, abs=0.05))


def test_the_interval_of_a_correlation_holds_the_truth_as_often_as_it_says():
    held, groups, each = 0, 30, 5
    for seed in range(100):
        random = np.random.default_rng(seed)
        group = np.repeat(np.arange(groups), each)
        a = random.normal(size=groups)[group]
        b = 0.8 * a + 0.6 * random.normal(size=groups)[group]  # both alike within a group: 0.8
        found = stats.correlation(a, b, group)
        held += found.low <= 0.8 <= found.high
    assert 85 <= held <= 100


def test_what_does_not_vary_correlates_with_nothing():
    assert stats.correlation(np.ones(9), np.arange(9.0)).value == 0
    assert stats.correlation(np.full(9, 0.1), np.full(9, 0.3)).value == 0
    with pytest.raises(ValueError, match="cannot be paired"):
        stats.correlation(np.ones(3), np.ones(4))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_ranks_within_groups_are_spearmans(seed):
    scipy_stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(seed)
    group = random.integers(0, 4, 40)
    a, b = random.integers(0, 6, 40).astype(float), random.normal(size=40)
    wanted = [
        scipy_stats.spearmanr(a[group == at], b[group == at]).statistic
        for at in range(4)
        if (group == at).sum() > 2 and np.ptp(a[group == at]) > 0
    ]
    np.testing.assert_allclose(stats.rank_correlations(a, b, group), wanted, atol=1e-9)
