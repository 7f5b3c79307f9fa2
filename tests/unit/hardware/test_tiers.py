"""Tiers: the first of whose two thresholds both are reached."""

import dataclasses
import itertools

import pytest

from netwright.hardware import tiers
from netwright.hardware.device import Device

CARD = Device(
    name="Card", manufacturer="Nobody", kind="gpu", rates={"fp32": 30e12, "bf16": 300e12}, bandwidth=6e11, memory=40e9
)


@pytest.mark.parametrize(
    ("changed", "general", "ai"),
    [
        ({}, "Premium", "AI_High-End"),
        ({"bandwidth": 5.99e11}, "High-End", "AI_High-End"),
        ({"memory": 31e9}, "Premium", "AI_Mid-Range"),
        ({"rates": {"fp32": 60e12, "bf16": 900e12}, "bandwidth": 1e12, "memory": 80e9}, "Ultra", "AI_Flagship"),
        ({"rates": {"bf16": 1e12}}, None, "AI_Basic"),
        ({"rates": {"fp32": 1e12}}, "Entry", None),
        ({"narrow": True}, "Premium", "AI_Mid-Range"),  # 150 TFLOP/s with 32-bit accumulation
    ],
)
def test_a_device_is_in_the_first_tier_it_reaches(changed, general, ai):
    device = dataclasses.replace(CARD, **changed)
    assert (tiers.tier(device), tiers.ai_tier(device)) == (general, ai)


@pytest.mark.parametrize("ladder", [tiers.GENERAL, tiers.AI])
def test_thresholds_fall_and_the_last_takes_all(ladder):
    for above, below in itertools.pairwise(ladder):
        assert above.rate > below.rate
        assert above.room > below.room
    assert (ladder[-1].rate, ladder[-1].room) == (0.0, 0.0)
    assert len(ladder) == 5
