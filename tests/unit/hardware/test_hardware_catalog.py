"""Finding devices by the names that people type."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.hardware import catalog, detect


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("h100", "NVIDIA H100 SXM"),
        ("H100 PCIe", "NVIDIA H100 PCIe"),
        ("nvidia-a30", "NVIDIA A30"),
        ("RTX 4090", "NVIDIA GeForce RTX 4090"),
        ("mi300x", "AMD Instinct MI300X"),
        ("TPU_v5e", "Google TPU v5e"),
        ("l4", "NVIDIA L4"),
    ],
)
def test_names_as_people_type_them(typed, name):
    assert catalog.find(typed).name == name


def test_unknown_names_lead_on():
    with pytest.raises(UserError, match="did you mean h100") as caught:
        catalog.find("h10")
    assert caught.value.next == "netwright hardware list"
    with pytest.raises(UserError, match="known: h100"):
        catalog.find("")


@given(st.text(max_size=20))
def test_any_text_finds_a_device_or_is_refused(text):
    with contextlib.suppress(UserError):
        assert catalog.find(text) in catalog.all()


def test_a_name_that_means_two_devices_is_a_fault(tmp_path):
    row = """
[[device]]
name = "One"
manufacturer = "M"
kind = "gpu"
bandwidth = 1.0
memory = 1.0
rates = { fp32 = 1.0 }
"""
    (tmp_path / "seed.toml").write_text(row + row.replace('"One"', '"o-n-e"'))
    with pytest.raises(ValueError, match=r"\['one'\] name more than one"):
        catalog.load(tmp_path / "seed.toml")


def test_this_machine_is_what_detect_says(monkeypatch):
    monkeypatch.setattr(detect, "machine", lambda: catalog.find("t4"))
    assert catalog.find("this machine").name == "NVIDIA T4"
