"""What every device of the catalogue keeps: its values are sourced, dense and plausible."""

import re

import pytest

from netwright.core import recipe
from netwright.hardware import catalog
from netwright.hardware.device import Device

EVERY = pytest.mark.parametrize("device", catalog.all(), ids=lambda device: device.name)


@EVERY
def test_every_value_has_exactly_one_source(device):
    given = {f"rates.{dtype}" for dtype in device.rates} | {"bandwidth", "memory"}
    given |= {name for name in ("power", "price", "year") if getattr(device, name) is not None}
    sourced = [value for source in device.sources for value in source.values]
    assert sorted(sourced) == sorted(given)


@EVERY
def test_every_source_says_where_when_and_how_it_may_be_used(device):
    for source in device.sources:
        assert len(source.where) > 10
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", source.date)
        assert source.licence in ("CC BY", "Apache-2.0")


@EVERY
def test_rates_are_dense(device):
    """Figures with sparsity are twice the dense ones, and would break these ratios of the units."""
    rates = device.rates
    if "bf16" in rates and "fp16" in rates:
        assert rates["bf16"] == pytest.approx(rates["fp16"], rel=0.01)
    for dtype in {"int8", "fp8"} & rates.keys():
        half = rates.get("bf16", rates.get("fp16"))
        assert rates[dtype] <= 2.05 * half
    if "tf32" in rates:
        assert rates["tf32"] <= 1.01 * rates["bf16"]
    if "fp32" in rates:
        assert max(rates.values()) <= 80 * rates["fp32"]


@EVERY
def test_numbers_are_in_the_units_they_claim(device):
    assert 1e11 < device.bandwidth < 2e13
    assert 8e9 <= device.memory < 1e12
    assert all(1e11 < rate < 2e16 for rate in device.rates.values())
    assert device.power is None or 50 < device.power < 2000
    assert device.year is None or 2015 <= device.year <= 2026
    assert not device.this_machine


@EVERY
def test_it_is_found_by_every_name_and_survives_a_round_trip(device):
    for name in (device.name, device.name.upper(), *device.aliases):
        assert catalog.find(name) is device
    values = recipe.plain(device)
    kept = {key: value for key, value in values.items() if value is not None}
    assert recipe.build(Device, kept, "device") == device


@EVERY
def test_every_dtype_that_networks_use_can_be_reckoned(device):
    for dtype in ("fp32", "bf16", "fp16", "int8", "fp8"):
        assert device.rate(dtype).flops > 0


def test_there_are_a_dozen_at_least():
    assert len(catalog.all()) >= 12
    assert len({device.manufacturer for device in catalog.all()}) >= 4
