"""Devices of OpenVINO: absent ones are refused with what they need, present ones are taken as they are."""

import openvino
import pytest

from netwright.core.error import UserError
from netwright.export.decoding import devices


@pytest.fixture
def having(monkeypatch):
    def set_to(*names):
        monkeypatch.setattr(openvino.Core, "available_devices", property(lambda self: list(names)))

    return set_to


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("cpu", "CPU"), ("GPU", "GPU"), ("gpu.1", "GPU.1"), ("AUTO", "AUTO"), ("auto:gpu.1,cpu", "AUTO:GPU.1,CPU"),
        ("hetero", "HETERO:GPU,CPU"), ("HETERO:GPU,CPU", "HETERO:GPU,CPU"),
    ],
)  # fmt: skip
def test_a_device_that_is_here_is_taken(name, taken, having):
    having("CPU", "GPU", "GPU.1")
    assert devices.named(name) == taken


@pytest.mark.parametrize(
    ("name", "told"),
    [("GPU", "compute runtime"), ("NPU", "NPU driver"), ("HETERO", "compute runtime"), ("GPU.7", "this machine has"),
     ("AUTO:NPU,CPU", "NPU driver"), ("CUDA", "allowed"), ("HETERO:GPU:0", "allowed|mean"), ("", "allowed")],
)  # fmt: skip
def test_one_that_is_absent_is_refused_in_one_sentence(name, told, having):
    having("CPU")
    with pytest.raises(UserError, match=told) as refusal:
        devices.named(name)
    assert "\n" not in str(refusal.value)
    assert "device" in str(refusal.value)
