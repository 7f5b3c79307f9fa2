"""Derived metrics: each is what its formula says, is absent without its inputs, and moves the right way."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.hardware import catalog, derived, works
from netwright.hardware.device import DTYPES, OPTIONAL, Device

FULL = Device(
    name="Full", manufacturer="Nobody", kind="gpu", rates={dtype: 1e14 * (at + 1) for at, dtype in enumerate(DTYPES)},
    bandwidth=1e12, memory=64e9, power=500, price=5000, year=2024, units=100, clock=2e9, cache=50e6, link=1e11,
    host_link=5e10, network=2.5e10, process=4e-9, die_area=8e-4, transistors=8e10,
)  # fmt: skip


def test_a_device_that_states_everything_has_every_metric():
    found = derived.derive(FULL)
    assert list(found) == list(derived.METRICS)
    assert len(found) >= 26
    assert all(one.low <= one.value <= one.high and one.value > 0 for one in found.values())


@pytest.mark.parametrize("name", derived.METRICS)
def test_every_metric_says_what_it_is(name):
    metric = derived.METRICS[name]
    assert metric.title
    assert metric.unit
    assert metric.formula
    assert len(metric.source) > 10
    assert metric.better in ("higher", "lower", "neither")
    assert any(word in metric.formula for word in ("rate", "memory", "bandwidth", "power", "price", "time", "cache",
                                                   "link", "transistors", "throughput"))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("flops_per_watt_fp64", 1e14 / 500),
        ("ridge_fp32", 200.0),
        ("bytes_per_flop_fp32", 1 / 200),
        ("flops_per_dollar_int8", 7e14 / 5000),
        ("flops_per_area_bf16", 4e14 / 800),
        ("flops_per_cycle_bf16", 4e14 / (100 * 2e9)),
        ("flops_per_transistor", 5000.0),
        ("bandwidth_per_watt", 2e9),
        ("sweep_time", 0.064),
        ("fill_time", 1.28),
        ("link_share", 0.1),
        ("gain_8_bit", 7 / 4),
        ("gain_4_bit", 9 / 4),
        ("largest_model_4_bit", 128e9),
        ("transistor_density", 1e8),
    ],
)
def test_formulas(name, expected):
    assert derived.value(FULL, name) == pytest.approx(expected)


@pytest.mark.parametrize("field", OPTIONAL)
def test_without_an_input_a_metric_is_absent(field):
    found = derived.derive(dataclasses.replace(FULL, **{field: None}))
    words = {"price": "dollar"}.get(field, field)
    gone = set(derived.METRICS) - set(found)
    assert all(
        words in name + derived.METRICS[name].formula or "throughput / price" in derived.METRICS[name].formula
        for name in gone
    )
    if field != "process":  # which no metric uses
        assert gone


def test_half_with_16_bit_accumulation_counts_half():
    narrow = dataclasses.replace(FULL, narrow=True)
    assert derived.half(narrow) == derived.half(FULL) / 2
    assert derived.value(narrow, "ridge_bf16") == derived.value(FULL, "ridge_bf16") / 2
    assert derived.value(narrow, "ridge_fp32") == derived.value(FULL, "ridge_fp32")


def test_a_device_without_16_bit_rates_has_no_estimates():
    found = derived.derive(dataclasses.replace(FULL, rates={"fp32": 1e13}))
    assert not [name for name in found if name.startswith(("throughput", "energy_resnet", "relative", "gain"))]


def test_the_index_of_the_reference_is_one_within_its_interval():
    one = derived.derive(catalog.find(derived.REFERENCE))["relative_latency_index"]
    assert one.value == pytest.approx(1.0)
    assert one.low < 1 < one.high
    assert one.estimate


@given(
    st.floats(1e11, 1e16), st.floats(1e10, 1e14), st.floats(1.01, 10), st.sampled_from(sorted(works.WORKS)),
    st.booleans(),
)  # fmt: skip
def test_more_rate_or_bandwidth_is_never_slower(rate, bandwidth, factor, name, more_rate):
    slow = dataclasses.replace(FULL, rates={"bf16": rate}, bandwidth=bandwidth)
    fast = dataclasses.replace(
        slow, rates={"bf16": rate * (factor if more_rate else 1)}, bandwidth=bandwidth * (1 if more_rate else factor)
    )
    before, after = (derived.derive(device)[f"throughput_{name}"] for device in (slow, fast))
    assert (after.low, after.value, after.high) >= (before.low, before.value, before.high)
    assert derived.derive(fast)["relative_latency_index"].value < derived.derive(slow)["relative_latency_index"].value


def test_energy_is_power_over_throughput_and_its_ends_are_swapped():
    found = derived.derive(FULL)
    speed, energy = found["throughput_resnet50"], found["energy_resnet50"]
    assert energy.value == pytest.approx(500 / speed.value)
    assert (energy.low, energy.high) == pytest.approx((500 / speed.high, 500 / speed.low))


def test_shapes_give_the_published_counts():
    """ViT-L/16 at 384 pixels: 24 layers, 577 tokens; timm states 191.21 GMACs and 270.24 M activations."""
    flops, written = works.transformer(24, 1024, 16, tokens=577)
    assert flops / 2e9 == pytest.approx(191.21, rel=0.01)
    assert written / 4e6 == pytest.approx(270.24, rel=0.01)


@pytest.mark.parametrize("work", works.WORKS.values(), ids=list(works.WORKS))
def test_works_are_plausible(work):
    least, likely, most = works.seconds(work, 1e14, 1e12)
    assert 0 < least < likely < most
    assert work.flops / work.bytes > 50  # networks with large batches: bound by neither alone
    assert math.isfinite(work.items)


def test_the_intervals_hold_measured_throughputs():
    """ResNet-50 at 224 pixels on an RTX 3090 and an RTX 4090 (timm's tables: eager, amp, channels last; compiled)."""
    for name, measured in (("3090", 3219.06), ("4090", 8237.46), ("4090", 4302.84)):
        one = derived.derive(catalog.find(name))["throughput_resnet50"]
        assert one.low < measured < one.high


def test_a_person_reads_units():
    assert derived.text("gain_matrix", 15.01) == "15"
    assert derived.text("energy_per_byte", 2.09e-10) == "209 pJ/B"
    assert derived.text("throughput_resnet50", 24138.0) == "24,100 images/s"


POSITIVE = st.floats(min_value=1e-30, max_value=1e30)


@given(
    st.dictionaries(st.sampled_from(DTYPES), POSITIVE, min_size=1), POSITIVE, POSITIVE, st.booleans(),
    st.dictionaries(st.sampled_from([name for name in OPTIONAL if name != "units"]), POSITIVE),
    st.none() | st.integers(1, 10**6),
)  # fmt: skip
def test_whatever_a_device_states_every_metric_is_a_number_in_its_interval(
    rates, bandwidth, memory, narrow, more, units
):
    device = Device(name="D", manufacturer="M", kind="gpu", rates=rates, bandwidth=bandwidth, memory=memory,
                    narrow=narrow, units=units, **more)  # fmt: skip
    for name, one in derived.derive(device).items():
        assert 0 <= one.low <= one.value <= one.high < math.inf
        assert derived.text(name, one.value)
        assert derived.interval(name, one)
