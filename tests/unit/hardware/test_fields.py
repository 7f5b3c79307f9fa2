"""What a device states, by name, with its unit as a person reads it."""

import pytest

from netwright.hardware import catalog, fields


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("rates.bf16", 9.89e14, "989 TFLOP/s"),
        ("rates.int8", 2e15, "2 Pop/s"),
        ("bandwidth", 3.35e12, "3.35 TB/s"),
        ("price", 33600.0, "$33,600"),
        ("die_area", 8.14e-4, "814 mm²"),
        ("process", 4e-9, "4 nm"),
        ("transistors", 8e10, "80 billion"),
        ("clock", 1.98e9, "1.98 GHz"),
        ("year", 2022, "2022"),
        ("units", 132, "132"),
        ("architecture", "Hopper", "Hopper"),
        ("power", None, ""),
    ],
)
def test_text(name, value, text):
    assert fields.text(name, value) == text


def test_every_sourced_value_of_the_catalogue_has_a_name_here():
    for device in catalog.all():
        for source in device.sources:
            for name in set(source.values) - {"narrow"}:  # says what 16-bit rates mean; no value
                assert name in fields.NAMES
                assert fields.value(device, name) is not None
