"""Spellings of one device have one key, and different devices have different ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.hardware import names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("NVIDIA A100-SXM4-80GB (400W)", "A100 SXM 80 GB"),
        ("A100 80GB PCIe", "NVIDIA A100-PCIe-80GB"),
        ("NVIDIA GeForce RTX 3090", "rtx3090"),
        ("GeForce RTX 3080 Laptop GPU", "GeForce RTX 3080 Mobile"),
        ("GeForce GTX 1070 with Max-Q Design", "GeForce GTX 1070 Max-Q"),
        ("AMD Radeon Instinct MI250X", "Instinct MI250X"),
        ("Radeon RX460", "RX 460"),
        ("Tesla T4", "NVIDIA T4"),
        ("GeForce GTX GTX880M", "GTX 880M"),
        ("NVIDIA H100 80GB HBM3", "H100 80GB"),
        ("Iris(R) Plus Graphics 655", "Intel® Iris Plus 655"),
    ],
)
def test_spellings_of_one_device(one, other):
    assert names.key(one) == names.key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A100 SXM 80GB", "A100 SXM 40GB"),
        ("A100 SXM 80GB", "A100 PCIe 80GB"),
        ("NVIDIA A100-SXM-80GB", "NVIDIA A100-SXM-80GB (1x1g.10gb MIG)"),
        ("Virtualized NVIDIA L40S", "NVIDIA L40S"),
        ("RTX 4090", "RTX 4090 D"),
        ("RTX 4090", "RTX 4090 Laptop GPU"),
        ("RTX 2080", "RTX 2080 Max-Q"),
        ("RTX 3060 Ti", "RTX 3060 Ti GDDR6X"),
        ("Quadro RTX 6000", "RTX 6000 Ada"),
        ("Quadro M4000", "Quadro 4000M"),
        ("V100 SXM2 32GB", "V100 SXM3 32 GB"),
        ("Radeon HD 4000", "Intel HD 4000"),
    ],
)
def test_different_devices(one, other):
    assert names.key(one) != names.key(other)


def test_memory_is_told_apart():
    assert names.without_memory("NVIDIA A100-SXM-80GB") == ("a100sxm", 80e9)
    assert names.without_memory("NVIDIA T4") == ("t4", None)
    assert names.same_memory(80 * 2**30, 80e9)
    assert not names.same_memory(40 * 2**30, 80e9)


def test_a_maker_stands_in_front_once():
    assert names.full("NVIDIA", "T4") == "NVIDIA T4"
    assert names.full("NVIDIA", "Virtualized NVIDIA L40S") == "Virtualized NVIDIA L40S"
    assert names.device_key("ATI", "Radeon 9800") == names.device_key("AMD", "ATI Radeon 9800")


@given(st.text(max_size=60))
def test_any_text_has_a_key(text):
    key = names.key(text)
    assert key == names.key(text.upper().lower()) or not text.isascii()
    assert all(letter.isdigit() or letter.islower() for letter in key)
