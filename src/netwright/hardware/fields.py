"""Names, units and readable forms of what a device states: one table for terminal, page and CSV.

    value(device, "rates.bf16"), text("die_area", 8.14e-4)      # 9.89e14, "814 mm²"

This file does not know where a value comes from.
"""

from __future__ import annotations

from netwright.core.measurement import readable
from netwright.hardware.device import DTYPES, Device

UNITS = {
    "bandwidth": "B/s", "memory": "B", "power": "W", "price": "USD", "year": "", "units": "", "clock": "Hz",
    "cache": "B", "link": "B/s", "host_link": "B/s", "network": "B/s", "process": "m", "die_area": "mm²",
    "transistors": "",
}  # fmt: skip
"""What a device states beside its rates, and the unit in which a person reads it."""

TITLES = {
    "price": "price at release", "units": "units (SM, CU, core)", "clock": "highest clock", "cache": "last cache",
    "link": "link to its neighbours", "host_link": "link to the host", "network": "network", "process": "process node",
    "die_area": "die area", "year": "year of release",
}  # fmt: skip

NAMES = ("architecture", *(f"rates.{dtype}" for dtype in DTYPES), *UNITS)
"""Every value that a device may state, as `Device.sources` names it."""


def value(device: Device, name: str) -> float | str | None:
    """A value by its name, None where no source states it."""
    if name.startswith("rates."):
        return device.rates.get(name.removeprefix("rates."))
    found: float | str | None = getattr(device, name)
    return None if found == "" else found


def title(name: str) -> str:
    """A name as it is written in a table."""
    if name.startswith("rates."):
        return f"{name.removeprefix('rates.')} rate"
    return TITLES.get(name, name.replace("_", " "))


def text(name: str, found: float | str | None) -> str:
    """A value as a person reads it; empty where there is none."""
    if found is None or isinstance(found, str):
        return found or ""
    if name.startswith("rates."):
        return readable(found, "op/s" if name.startswith("rates.int") else "FLOP/s")
    if name == "price":
        return f"${found:,.0f}"
    if name == "die_area":
        return f"{1e6 * found:,.0f} mm²"
    if name == "transistors":
        return f"{found / 1e9:,.3g} billion"
    if name == "year":
        return f"{found:.0f}"
    return readable(found, UNITS[name])
