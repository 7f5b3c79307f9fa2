"""Imputation recovers a law that holds, says how wrong it is where none does, and never touches what is stated."""

import dataclasses

import numpy as np
import pytest

from netwright.hardware import impute
from netwright.hardware.device import Device


def cards(noise: float = 0.05, seed: int = 0, more: int = 0) -> list[Device]:
    """Four architectures and `more` of ten cards: 16 bits is 8 times fp32 (4 in the oldest), power goes with units."""
    random = np.random.default_rng(seed)
    made = []
    for at, architecture in enumerate(("Old", "Middle", "New", "Newest", *(f"Other {at}" for at in range(more)))):
        for units in range(20, 120, 10):
            fp32 = units * 128 * 2 * 1.5e9 * float(np.exp(noise * random.standard_normal()))
            made.append(
                Device(
                    name=f"{architecture} {units}", manufacturer="X", kind="gpu", architecture=architecture,
                    rates={"fp32": fp32, "fp16": fp32 * (4 if at == 0 else 8), "int8": fp32 * 16},
                    bandwidth=units * 1e10, memory=units * 2e8, units=units, year=2016 + 2 * min(at, 3),
                    power=units * (4 - 0.5 * min(at, 3)) * float(np.exp(noise * random.standard_normal())),
                )
            )  # fmt: skip
    return made


def without(device: Device, *dtypes: str, **values: None) -> Device:
    rates = {dtype: rate for dtype, rate in device.rates.items() if dtype not in dtypes}
    return dataclasses.replace(device, rates=rates, **values)


def test_a_scaling_factor_of_the_architecture_is_found():
    devices = cards()
    devices[5], devices[15] = without(devices[5], "fp16"), without(devices[15], "fp16")
    found = {one.device: one for one in impute.impute(devices) if one.quantity == "rates.fp16"}
    for at, factor in ((5, 4), (15, 8)):
        one = found[devices[at].name]
        assert one.value == pytest.approx(factor * devices[at].rates["fp32"], rel=1e-6)
        assert one.method == "scaled from rates.fp32"
        assert one.low <= one.value <= one.high


def test_power_of_an_architecture_that_no_one_states_is_a_regression_with_a_wider_interval():
    devices = cards(more=10)
    known = [one if at % 10 else dataclasses.replace(one, power=None) for at, one in enumerate(devices)]
    unknown = [dataclasses.replace(one, power=None) if one.architecture == "Newest" else one for one in devices]
    kin = next(one for one in impute.impute(known) if one.quantity == "power" and one.device == "Middle 20")
    new = next(one for one in impute.impute(unknown) if one.quantity == "power" and one.device == "Newest 70")
    truth = next(one.power for one in devices if one.name == "Newest 70")
    assert new.low < truth < new.high
    assert new.high / new.low > kin.high / kin.low
    assert "left out whole" in new.note


def test_from_few_architectures_nothing_is_said_of_another():
    devices = [dataclasses.replace(one, power=None) if one.architecture == "Newest" else one for one in cards()]
    assert [one for one in impute.impute(devices) if one.quantity == "power"] == []


def test_intervals_cover_what_they_say():
    held = []
    for seed in range(4):
        devices = cards(0.2, seed)
        for at in range(0, 40, 3):
            hidden = [*devices[:at], dataclasses.replace(devices[at], power=None), *devices[at + 1 :]]
            one = next(g for g in impute.impute(hidden, devices[at].name) if g.quantity == "power")
            held.append(one.low <= devices[at].power <= one.high)
    assert 0.8 <= np.mean(held) <= 1.0


def test_the_error_table_agrees():
    found = [one for one in impute.evaluate(cards(0.2)) if one.quantity == "power" and not one.new]
    assert [one.rank for one in found] == list(range(len(found)))
    assert found[0].median < found[-1].median
    assert 0.8 <= found[0].coverage.value <= 1
    assert found[0].n == 40


def test_stated_values_are_left_alone_and_one_device_alone_can_be_asked_for():
    devices = cards()
    assert {one.quantity for one in impute.impute(devices)}.isdisjoint({"power", "rates.fp32", "rates.fp16", "units"})
    devices[3] = dataclasses.replace(devices[3], power=None)
    devices[4] = dataclasses.replace(devices[4], power=None)
    assert {one.device for one in impute.impute(devices, devices[4].name)} == {devices[4].name}


def test_units_that_a_chip_may_not_have_are_not_made_up():
    devices = [without(one, "int8") if one.architecture == "Old" else one for one in cards()]
    found = [one for one in impute.impute(devices) if one.quantity == "rates.int8"]
    assert found == []


@pytest.mark.parametrize("few", [0, 1, 7])
def test_from_too_few_nothing_is_guessed(few):
    assert impute.impute([dataclasses.replace(one, power=None) for one in cards()[:few]]) == []
    assert impute.evaluate(cards()[:few]) == []


def test_a_guess_that_spans_a_factor_of_a_hundred_is_not_made():
    random = np.random.default_rng(0)
    devices = [
        dataclasses.replace(one, price=float(np.exp(6 * random.standard_normal())), architecture=f"A{at}")
        for at, one in enumerate(cards())
    ]
    devices[0] = dataclasses.replace(devices[0], price=None)
    assert [one for one in impute.impute(devices) if one.quantity == "price"] == []
