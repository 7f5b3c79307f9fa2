"""What one row of a source says of one device, before anyone believes it.

    Row("line 2", "NVIDIA T4", {"power": 70.0, "rates.int8.matrix.int32.dense": 1.3e14}, manufacturer="NVIDIA")

Importers turn a source's units into those of `FIELDS` and leave everything else, zeros, infinities and
contradictions included, to the rules.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from netwright.hardware.device import DTYPES
from netwright.hardware.layers import Origin

Value = float | int | str | datetime.date
Fault = tuple[str, str, str | None]
"""A value's name, why it is not believed, and the name of the value that it is instead, if any."""

CHIP = (
    "units", "lanes", "matrix_units", "base_clock", "clock", "cache", "power", "die_area", "transistors",
    "link", "host_link", "network", "chip", "form_factor", "released", "year",
)  # fmt: skip
MEMORY = {"memory": "capacity", "bandwidth": "bandwidth", "bus_width": "bus_width", "memory_clock": "clock"}
MEMORY |= {"memory_type": "type"}
FIELDS = (*CHIP, *MEMORY, "architecture", "foundry", "process")
"""What a source may state of a device, beside rates, prices and results: the columns of the tables, in SI units."""

TEXTS = ("chip", "form_factor", "memory_type", "architecture", "foundry")
WHOLE = ("units", "year", "lanes", "matrix_units", "bus_width")

CATEGORIES = {
    "data centre GPU": "gpu", "workstation GPU": "gpu", "desktop GPU": "gpu", "laptop GPU": "gpu", "GPU": "gpu",
    "integrated GPU": "gpu", "embedded GPU": "gpu", "TPU": "accelerator", "accelerator": "accelerator", "CPU": "cpu",
}  # fmt: skip
"""What a device is sold as -> the `kind` of `Device`."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD of `count` devices: at "release", on the "street" (what a list says), or per hour "on_demand" or "spot"."""

    kind: str
    usd: float
    count: int = 1
    provider: str = ""
    region: str = ""
    instance: str = ""
    date: datetime.date | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A measured value of a workload; `row` names it at its source, `conditions` holds what cites it."""

    row: str
    workload: str
    quantity: str
    value: float
    unit: str
    count: int = 1
    dtype: str | None = None
    batch: int | None = None
    conditions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A source's row: where it stands, the device's name as written there, and what is stated."""

    at: str
    name: str
    values: dict[str, Value] = field(default_factory=dict)
    manufacturer: str = ""
    category: str = ""
    prices: tuple[Price, ...] = ()
    results: tuple[Result, ...] = ()
    origin: Origin | None = None
    """Who states it, where that is not the file itself."""

    def rate(self, dtype: str, unit: str = "matrix") -> float | None:
        """The highest dense rate of a dtype on those units, as stated."""
        return max((value for d, u, _, _, value in rates(self) if (d, u) == (dtype, unit)), default=None)

    def number(self, name: str) -> float | None:
        value = self.values.get(name)
        return float(value) if isinstance(value, int | float) else None

    def without(self, name: str) -> Row:
        """The row with that value left out."""
        return replace(self, values={key: value for key, value in self.values.items() if key != name})


def rate_field(dtype: str, unit: str, accumulate: str = "unknown", sparsity: str = "dense") -> str:
    """The name of a rate among a row's values: "rates.fp16.matrix.fp32.dense"."""
    if dtype not in DTYPES:
        raise ValueError(dtype)
    return f"rates.{dtype}.{unit}.{accumulate}.{sparsity}"


def rates(row: Row) -> Iterator[tuple[str, str, str, str, float]]:
    """Dtype, unit, accumulate, sparsity and value of each rate that is a number."""
    for name, value in row.values.items():
        if name.startswith("rates.") and isinstance(value, int | float):
            dtype, unit, accumulate, sparsity = name.split(".")[1:]
            yield dtype, unit, accumulate, sparsity, float(value)
