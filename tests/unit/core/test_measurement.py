"""A measurement holds its value, travels through JSON, and ranks only what its interval tells apart."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.core.measurement import (
    QUANTITIES,
    Measurement,
    better,
    exact,
    from_plain,
    in_result,
    readable,
    span,
    words,
)
from netwright.core.recipe import plain

finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def one(value, low, high, quantity="latency"):
    return Measurement(quantity=quantity, value=value, low=low, high=high, n=3)


@given(st.sampled_from(sorted(QUANTITIES)), st.tuples(finite, finite, finite), st.integers(0, 10**6))
def test_a_measurement_comes_back_from_json(quantity, three, n):
    low, value, high = sorted(three)
    before = Measurement(quantity=quantity, value=value, low=low, high=high, n=n, conditions={"threads": 1})
    assert from_plain(json.loads(json.dumps(plain(before)))) == before
    assert before.unit == QUANTITIES[quantity].unit


@pytest.mark.parametrize(
    ("value", "low", "high"), [(1, 2, 3), (3, 1, 2), (math.nan, 0, 1), (1, 0, math.inf), (1, 2, 0)]
)
def test_an_interval_that_does_not_hold_its_value_is_refused(value, low, high):
    with pytest.raises(ValueError, match="latency"):
        one(value, low, high)


@pytest.mark.parametrize(
    "change", [{"quantity": "speed"}, {"level": 1.0}, {"level": 0.0}, {"n": -1}, {"source": "guessed"}, {"device": 3}]
)
def test_what_is_no_measurement_is_refused(change):
    with pytest.raises(UserError, match="not a measurement"):
        from_plain({**plain(one(1, 0, 2)), **change})


@given(st.dictionaries(st.sampled_from(sorted(plain(one(1, 0, 2)))) | st.text(), json_values))
def test_anything_else_out_of_json_is_a_user_error(values):
    try:
        from_plain(values)
    except UserError:
        return
    assert values["low"] <= values["value"] <= values["high"]


@pytest.mark.parametrize("listed", [[3], ["x"], [None], [{}]])
def test_a_result_with_something_else_is_a_user_error(listed):
    with pytest.raises(UserError, match="measurement"):
        in_result({"measurements": listed})


@pytest.mark.parametrize("result", [None, [], 3, {}, {"other": 1}])
def test_a_result_without_measurements_has_none(result):
    assert in_result(result) == []


def test_better_knows_the_direction_and_keeps_silent_on_overlap():
    assert better(one(1, 0.9, 1.1), one(2, 1.9, 2.1)) is True
    assert better(one(2, 1.9, 2.1), one(1, 0.9, 1.1)) is False
    assert better(one(1, 0.9, 1.9), one(2, 1.9, 2.1)) is None
    assert better(one(0.9, 0.8, 0.95, "accuracy"), one(0.7, 0.6, 0.75, "accuracy")) is True
    assert better(exact("size", 1), exact("size", 1)) is None
    with pytest.raises(ValueError, match="cannot compare"):
        better(exact("size", 1), exact("energy", 1))


@given(finite, finite, finite, finite)
def test_better_turns_round_with_its_arguments(a, b, c, d):
    first, second = one(a, min(a, b), max(a, b)), one(c, min(c, d), max(c, d))
    forth, back = better(first, second), better(second, first)
    assert (forth is None) == (back is None)
    assert forth is None or forth is not back


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.99123, "fraction", "99.12 %"),
        (-0.001, "fraction", "-0.10 %"),
        (0.00123, "s", "1.23 ms"),
        (4.56e-6, "s", "4.56 µs"),
        (2e-12, "s", "2 ps"),
        (2e-18, "s", "2e-18 s"),
        (0.9996, "s", "1 s"),
        (0.9994, "s", "999 ms"),
        (0.9996e-3, "s", "1 ms"),
        (59.6, "s", "59.6 s"),
        (600, "s", "10 min"),
        (36_000, "s", "10 h"),
        (1_500_000, "B", "1.5 MB"),
        (999.6, "B", "1 kB"),
        (2.5e18, "FLOP", "2.5 EFLOP"),
        (12_345.6, "items/s", "12,346 items/s"),
        (0.123, "items/s", "0.123 items/s"),
        (1_234_567, "1", "1,234,567"),
        (0.0451, "nat", "0.0451 nat"),
        (0, "J", "0 J"),
        (-0.002, "J", "-2 mJ"),
    ],
)
def test_readable(value, unit, text):
    assert readable(value, unit) == text


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (3.77e-5, 3.97e-5, "s", "37.7–39.7 µs"),
        (9e-5, 1.2e-3, "s", "90 µs to 1.2 ms"),
        (0.98, 1.0, "fraction", "98.00–100.00 %"),
        (3.289e8, 3.291e8, "B", "329 MB"),
        (11_478, 13_104, "items/s", "11,478–13,104 items/s"),
        (900, 1100, "1", "900–1,100"),
        (-0.002, 0.001, "J", "-2 to 1 mJ"),
    ],
)
def test_a_span_says_its_unit_once(low, high, unit, text):
    assert span(low, high, unit) == text


def test_a_measurement_reads_as_its_value_and_interval():
    assert str(Measurement(quantity="latency", value=3.8e-5, low=3.77e-5, high=3.97e-5, n=9)) == "38 µs [37.7–39.7 µs]"
    assert str(exact("parameters", 1234)) == "1,234"
    assert [words(name) for name in ("flops", "peak_memory")] == ["FLOPs", "peak memory"]


@given(st.floats(1e-9, 1e20), st.sampled_from(["s", "B", "J", "FLOP/s"]))
def test_readable_never_shows_an_exponent_in_the_ranges_that_occur(value, unit):
    assert "e" not in readable(value, unit).split()[0]
