"""Estimates of a number: their correlation and errors, as files keep them, and what is refused of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.data.regression import Estimates, evaluation, is_number
from netwright.data.tasks import Evaluation
from netwright.measure import quality


def drawn(seed=0, groups=30, each=8, noise=0.1):
    random = np.random.default_rng(seed)
    group_N = np.repeat(np.arange(groups), each)
    measured_N = (random.normal(0, 0.2, groups)[group_N] + random.normal(0, 0.1, len(group_N))).astype(np.float32)
    predicted_N = measured_N + random.normal(0, noise, groups)[group_N] + random.normal(0, noise / 2, len(group_N))
    return Estimates.of(predicted_N, measured_N, group_N)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 100), st.floats(0.001, 1.0))
def test_figures_are_those_of_the_definitions(seed, noise):
    seen = drawn(seed, noise=noise)
    assert seen.correlation().value == pytest.approx(np.corrcoef(seen.predicted_N, seen.measured_N)[0, 1], abs=1e-6)
    errors = seen.predicted_N.astype(float) - seen.measured_N
    assert seen.absolute_error().value == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert seen.loss().value == pytest.approx((errors**2).mean(), rel=1e-4)
    assert [one.quantity for one in seen.judged()] == ["correlation", "rank_correlation", "absolute_error"]
    assert seen.figures() == {
        "loss": pytest.approx((errors**2).mean(), rel=1e-4), "correlation": pytest.approx(seen.correlation().value)
    }  # fmt: skip


def test_intervals_are_over_groups_and_so_wider_than_over_rows():
    seen = drawn(groups=40, each=50)
    alone = Estimates.of(seen.predicted_N, seen.measured_N, np.arange(len(seen.loss_N)))
    wide, narrow = seen.correlation(), alone.correlation()
    assert (wide.n, narrow.n) == (40, 2000)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_what_a_file_keeps_is_what_was_seen():
    seen = drawn()
    again = evaluation(seen.arrays())
    assert isinstance(again, Estimates)
    assert [one.value for one in again.judged()] == [one.value for one in seen.judged()]
    of_classes = Evaluation(np.array([True, False]), np.array([0.1, 2.0], np.float32))
    kept = evaluation(of_classes.arrays())
    assert type(kept) is Evaluation
    assert kept.accuracy().value == 0.5


def test_a_better_one_is_better_in_pairs():
    good, poor = drawn(noise=0.05), drawn(noise=0.4)
    poor = Estimates.of(poor.predicted_N - poor.measured_N + good.measured_N, good.measured_N, good.group_N)
    change = quality.change(good, poor)
    assert change.quantity == "correlation_change"
    assert change.low > 0
    assert change.value == pytest.approx(good.correlation().value - poor.correlation().value, abs=1e-6)
    assert quality.change(good, good).value == 0
    with pytest.raises(ValueError, match="other examples"):
        good.correlation_change(drawn(seed=1))


def test_without_groups_of_three_there_is_no_rank_within():
    assert drawn(each=2).rank_correlation() == []
    (one,) = drawn(each=3).rank_correlation()
    assert -1 <= one.low <= one.value <= one.high <= 1


def test_estimates_that_are_not_finite_correlate_with_nothing():
    seen = drawn()
    broken = Estimates.of(np.where(seen.group_N == 3, np.nan, seen.predicted_N), seen.measured_N, seen.group_N)
    assert broken.figures()["correlation"] == 0.0
    assert not np.isfinite(broken.figures()["loss"])


def test_what_only_classes_have_is_refused():
    seen = drawn()
    for wanted in (seen.accuracy, seen.perplexity, lambda: seen.perplexity_ratio(seen)):
        with pytest.raises(UserError, match="answers a number"):
            wanted()
    with pytest.raises(ValueError, match="groups"):
        Estimates.of(np.zeros(3), np.zeros(3), np.zeros(2))


def test_one_class_is_a_number():
    assert is_number(("ssim",))
    assert not is_number(())
    assert not is_number(("cat", "dog"))
