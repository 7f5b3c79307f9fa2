"""Watts under load: between a floor and the design power, more for more work."""

import dataclasses

import pytest
from asked import BARE, GPU, NET
from hypothesis import given
from hypothesis import strategies as st

from netwright.predict import watts
from netwright.predict.suites import power
from netwright.predict.watts import Load

BUSY = Load(seconds=1.0, flops=1e14, bytes=1e12, busy=1.0, dtype="bf16")


def drawn(**changes):
    return watts.under(dataclasses.replace(BUSY, **changes), GPU)


def test_full_work_draws_the_design_power_and_nothing_draws_more():
    assert (drawn().value, drawn().high) == (GPU.power, GPU.power)


def test_waiting_draws_little():
    idle = drawn(flops=1e9, bytes=1e6, busy=1e-3)
    assert idle.value == pytest.approx(power.LEAST * GPU.power)
    assert drawn(flops=1e9, bytes=1e6).value > 2 * idle.value


@given(st.floats(1e-6, 10), st.floats(0, 1e15), st.floats(0, 1e13), st.floats(0, 10), st.floats(1, 10))
def test_more_arithmetic_in_the_same_time_never_draws_less(seconds, flops, moved, busy, more):
    load = Load(seconds=seconds, flops=flops, bytes=moved, busy=busy, dtype="bf16")
    few, many = (watts.under(one, GPU) for one in (load, dataclasses.replace(load, flops=more * flops)))
    assert 0 < few.low <= few.value <= few.high <= GPU.power
    assert few.value <= many.value


def test_devices_that_share_the_work_do_each_a_part():
    whole, half = Load.of(NET, 1.0, GPU), Load.of(NET, 1.0, GPU, 2)
    assert (half.flops, half.bytes, half.busy) == (whole.flops / 2, whole.bytes / 2, whole.busy / 2)
    assert whole.busy == pytest.approx(2 * 8e9 / 1e14 + 3.2e7 / 1e12 + 4e9 / 1e14)


def test_without_a_design_power_there_is_none():
    assert watts.under(BUSY, BARE) is None
