"""A device's stated rates, and what stands in for one that nobody states."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.hardware.device import DTYPES, Device


def device(**about) -> Device:
    known = {"name": "Maker One", "manufacturer": "Maker", "kind": "gpu", "bandwidth": 1e12, "memory": 8e9}
    return Device(**{**known, "rates": {"fp32": 1e13, "bf16": 1e14}, **about})


def test_a_stated_rate_is_taken_as_it_is():
    rate = device().rate("bf16")
    assert (rate.least, rate.flops, rate.most, rate.note) == (1e14, 1e14, 1e14, "")


def test_rates_with_16_bit_accumulation_are_halved_and_it_is_said():
    rate = device(narrow=True).rate("bf16")
    assert rate.flops == 5e13
    assert "16-bit accumulation" in rate.note


def test_fp32_may_run_as_tf32_on_a_gpu_that_has_it():
    assert device(rates={"fp32": 1e13, "bf16": 1e14, "tf32": 4e13}).rate("fp32").most == 4e13
    assert device().rate("fp32").most == 5e13
    assert device(rates={"fp32": 1e13, "fp16": 1e14}).rate("fp32").most == 1e13
    assert device(kind="cpu").rate("fp32").most == 1e13


@pytest.mark.parametrize(
    ("rates", "dtype", "expected"),
    [
        ({"bf16": 8e13}, "fp16", (8e13, 8e13, 8e13)),
        ({"fp32": 1e13, "fp16": 8e13}, "bf16", (1e13, 1e13, 1e13)),
        ({"bf16": 8e13}, "fp8", (8e13, 8e13, 8e13)),
        ({"bf16": 8e13}, "int8", (8e13, 8e13, 16e13)),
        ({"fp32": 1e13}, "int8", (1e13, 1e13, 4e13)),
        ({"bf16": 7.2e13}, "fp32", (2e12, 9e12, 3.6e13)),
    ],
)
def test_what_stands_in_is_said(rates, dtype, expected):
    rate = device(rates=rates).rate(dtype)
    assert (rate.least, rate.flops, rate.most) == pytest.approx(expected)
    assert f"no {dtype} rate is known" in rate.note


@given(
    st.dictionaries(st.sampled_from(DTYPES), st.floats(1e9, 1e16), min_size=1), st.sampled_from(DTYPES), st.booleans()
)
def test_every_rate_is_ordered_or_refused(rates, dtype, narrow):
    try:
        rate = device(rates=rates, narrow=narrow).rate(dtype)
    except UserError:
        assert dtype not in rates
    else:
        assert 0 < rate.least <= rate.flops <= rate.most < math.inf
        assert rate.note or dtype in rates


def test_an_unknown_dtype_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="bf16"):
        device().rate("bf_16")
    with pytest.raises(UserError, match="has rates for fp32, bf16"):
        device().rate("fp64")


@pytest.mark.parametrize(
    "wrong",
    [
        {"bandwidth": 0.0},
        {"memory": math.inf},
        {"rates": {}},
        {"rates": {"fp32": -1.0}},
        {"rates": {"fp3": 1.0}},
        {"power": 0.0},
    ],
)
def test_impossible_values_are_refused(wrong):
    with pytest.raises(ValueError, match="Maker One"):
        device(**wrong)


def test_a_device_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        device().bandwidth = 2.0
