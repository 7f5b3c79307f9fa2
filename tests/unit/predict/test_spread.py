"""Numbers between bounds: sums, products, and what is no such number."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.predict.spread import Spread, exactly

positive = st.floats(1e-9, 1e9)
spreads = st.tuples(positive, positive, positive).map(sorted).map(lambda three: Spread(three[1], three[0], three[2]))


def test_bounds_of_sums_add():
    assert Spread(2, 1, 4) + Spread(3, 2, 5) == Spread(5, 3, 9)


def test_relative_errors_of_products_add_as_squares():
    both = Spread(2, 1, 4) * Spread(3, 1.5, 6)
    assert both.value == 6
    assert both.high == pytest.approx(6 * math.exp(math.sqrt(2) * math.log(2)))
    assert both.low == pytest.approx(6 / math.exp(math.sqrt(2) * math.log(2)))


@given(spreads, spreads)
def test_results_hold_their_value(a, b):
    for found in (a + b, a * b, a / b, a.inverse(), a * 3.0, a / 7.0):
        assert found.low <= found.value * (1 + 1e-12)
        assert found.value <= found.high * (1 + 1e-12)


@given(spreads)
def test_the_inverse_turns_the_bounds_round(a):
    assert a.inverse().low == 1 / a.high
    assert (a * exactly(2.0)).high == pytest.approx(2 * a.high)


def test_a_bound_that_nothing_exceeds():
    assert Spread(2, 1, 4).at_most(3) == Spread(2, 1, 3)
    assert Spread(2, 1, 4).at_most(0.5) == Spread(0.5, 0.5, 0.5)


@pytest.mark.parametrize("three", [(1, 2, 3), (2, 1, 1.5), (0, 0, 1), (1, 1, math.inf), (math.nan, 1, 2), (-1, -2, 1)])
def test_what_is_no_number_between_bounds(three):
    with pytest.raises(ValueError, match="between bounds"):
        Spread(*three)
