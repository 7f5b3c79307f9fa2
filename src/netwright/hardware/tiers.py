"""Tiers: a coarse word for how much a device has, by thresholds that anyone can check.

    tier(catalog.find("4090")), ai_tier(catalog.find("4090"))      # "Ultra", "AI_Mid-Range"

A device is in the first tier of whose two thresholds it reaches both; where it states neither 32-bit
(for AI: 16-bit) arithmetic it is in none. The thresholds are this project's choice: they split Epoch AI's
169 accelerators of 2008 to 2025 into parts of 13 to 35. They do not move with the years.
"""

from __future__ import annotations

from dataclasses import dataclass

from netwright.hardware import derived
from netwright.hardware.device import Device


@dataclass(frozen=True)
class Tier:
    """Reached with `rate` FLOP/s and `room`: bandwidth in B/s, or for AI memory in B."""

    name: str
    rate: float
    room: float


GENERAL = (
    Tier("Ultra", 60e12, 1000e9),
    Tier("Premium", 30e12, 600e9),
    Tier("High-End", 15e12, 400e9),
    Tier("Mid-Range", 6e12, 200e9),
    Tier("Entry", 0.0, 0.0),
)
"""By fp32 rate and memory bandwidth."""

AI = (
    Tier("AI_Flagship", 700e12, 80e9),
    Tier("AI_High-End", 250e12, 32e9),
    Tier("AI_Mid-Range", 70e12, 16e9),
    Tier("AI_Entry", 25e12, 8e9),
    Tier("AI_Basic", 0.0, 0.0),
)
"""By dense 16-bit rate with 32-bit accumulation, and memory."""

NAMES = tuple(one.name for one in (*GENERAL, *AI))


def tier(device: Device) -> str | None:
    """Its tier by fp32 rate and bandwidth; None where it states no fp32 rate."""
    return _first(GENERAL, device.rates.get("fp32"), device.bandwidth)


def ai_tier(device: Device) -> str | None:
    """Its tier by 16-bit rate and memory; None where it states no 16-bit rate."""
    return _first(AI, derived.half(device), device.memory)


def _first(tiers: tuple[Tier, ...], rate: float | None, room: float) -> str | None:
    return None if rate is None else next(t.name for t in tiers if rate >= t.rate and room >= t.room)
