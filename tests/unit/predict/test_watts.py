"""Watts under load: between a floor and the design power, more for more work."""

import dataclasses

import pytest
from asked import BARE, GPU, NET
from hypothesis import given
from hypothesis import strategies as st

from netwright.predict import watts
from netwright.predict.suites import power
from netwright.predict.watts import Load

BUSY = Load(seconds=1.0, flops=1e14, bytes=1e12, launches=10, dtype="bf16")


def drawn(**changes):
    return watts.under(dataclasses.replace(BUSY, **changes), GPU)


def test_full_work_draws_the_design_power_and_nothing_draws_more():
    assert (drawn().value, drawn().high) == (GPU.power, GPU.power)


def test_waiting_for_launches_draws_little():
    idle = drawn(flops=1e9, bytes=1e6, launches=1e6)
    assert idle.value == pytest.approx(power.LEAST * GPU.power)
    assert drawn(flops=1e9, bytes=1e6).value > 2 * idle.value


@given(st.floats(1e-6, 10), st.floats(0, 1e15), st.floats(0, 1e13), st.floats(0, 1e6), st.floats(1, 10))
def test_more_arithmetic_in_the_same_time_never_draws_less(seconds, flops, moved, launches, more):
    load = Load(seconds=seconds, flops=flops, bytes=moved, launches=launches, dtype="bf16")
    few, many = (watts.under(one, GPU) for one in (load, dataclasses.replace(load, flops=more * flops)))
    assert 0 < few.low <= few.value <= few.high <= GPU.power
    assert few.value <= many.value


def test_devices_that_share_the_work_do_each_a_part():
    whole, half = Load.of(NET, 1.0), Load.of(NET, 1.0, 2)
    assert (half.flops, half.bytes, half.launches) == (whole.flops / 2, whole.bytes / 2, whole.launches)
    assert whole.launches == len(NET.operators)


def test_without_a_design_power_there_is_none():
    assert watts.under(BUSY, BARE) is None
