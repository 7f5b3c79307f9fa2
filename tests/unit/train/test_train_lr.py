"""Schedules are pure functions of the step; the range test finds where the loss explodes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.train.lr import factor, range_test

SCHEDULES = ("constant", "cosine", "step", "one-cycle")


@given(
    schedule=st.sampled_from(SCHEDULES),
    total=st.integers(1, 5000),
    warmup=st.floats(0, 1),
    share=st.floats(0, 1, exclude_max=True),
)
def test_every_factor_lies_between_zero_and_one(schedule, total, warmup, share):
    assert 0 <= factor(schedule, int(share * total), total, warmup) <= 1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_rises_to_the_peak(schedule):
    rates = [factor(schedule, step, 100, 0.2) for step in range(21)]
    assert rates == sorted(rates)
    assert rates[20] == pytest.approx(1.0)
    assert rates[0] == pytest.approx(1 / 21)


def test_after_warm_up_each_schedule_falls_as_it_says():
    assert factor("constant", 99, 100, 0) == 1
    assert factor("cosine", 50, 100, 0) == pytest.approx(0.5)
    assert factor("one-cycle", 75, 100, 0) == pytest.approx(0.25)
    assert [factor("step", step, 100, 0) for step in (0, 49, 50, 74, 75, 99)] == [1, 1, 0.1, 0.1, 0.01, 0.01]


def test_the_range_test_suggests_a_rate_below_the_explosion():
    # gradient descent on x^2 / 2 diverges above a rate of 2; the noise keeps x from reaching 0 before
    x = [1.0]

    def one_step(step, rate):
        x[0] -= rate * (x[0] + 0.3 * math.sin(5 * step))
        return x[0] ** 2 / 2

    found = range_test(one_step, 1e-4, 100, 60)
    assert 0.02 < found.suggestion < 2
    assert found.rates[-1] < 100
    assert len(found.rates) == len(found.losses)


def test_the_range_test_survives_a_loss_that_is_never_finite():
    found = range_test(lambda step, rate: math.nan, 1e-5, 1, 20)
    assert found.rates == ()
    assert found.suggestion == 1e-5
