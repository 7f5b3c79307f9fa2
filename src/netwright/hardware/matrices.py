"""Six matrices over a catalogue: devices down, values across, with the share of each column that is filled.

    found = matrix("compute", catalog.all())
    found.columns, found.rows[0], found.coverage["fp8"]

A cell that no source fills is None; nothing is imputed here. A column is a value of `Device`, a rate by its
dtype, `half` (16 bits with 32-bit accumulation), a score that was imported, or a ratio of two of these.
`views` makes the same matrices in SQL out of the same table. This file does not know where devices come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from netwright.hardware import derived, tiers
from netwright.hardware.device import DTYPES, OPTIONAL, Device

Cell = str | float | None

TEXTS = ("manufacturer", "kind", "architecture")
NUMBERS = ("year", *DTYPES, "half", "bandwidth", "memory", *OPTIONAL)
SCORES = {
    "cuda": "Geekbench 5 CUDA",
    "metal": "Geekbench 5 Metal",
    "opencl": "Geekbench 5 OpenCL",
    "vulkan": "Geekbench 5 Vulkan",
    "g3d": "PassMark G3D Mark",
    "g2d": "PassMark G2D Mark",
}
"""Columns of scores -> names of the workloads that an import gives them."""

RATIOS = {
    "ridge": ("half", "bandwidth"),
    "sweep_time": ("memory", "bandwidth"),
    "half_per_watt": ("half", "power"),
    "fp32_per_watt": ("fp32", "power"),
    "bandwidth_per_watt": ("bandwidth", "power"),
    "half_per_dollar": ("half", "price"),
    "fp32_per_dollar": ("fp32", "price"),
    "bandwidth_per_dollar": ("bandwidth", "price"),
    "memory_per_dollar": ("memory", "price"),
    "g3d_per_dollar": ("g3d", "price"),
    "g3d_per_watt": ("g3d", "power"),
}
"""Column -> the two columns whose ratio it is."""

TIERS = ("tier", "ai_tier")

MATRICES: dict[str, tuple[str, ...]] = {
    "complete": (*TEXTS, *NUMBERS),
    "compute": ("year", *DTYPES, "half", "units", "clock", "half_per_watt", "fp32_per_watt"),
    "memory-bandwidth": ("year", "memory", "bandwidth", "cache", "ridge", "sweep_time", "bandwidth_per_watt"),
    "graphics": ("year", "fp32", "bandwidth", *SCORES, "g3d_per_watt"),
    "price-performance": (
        "year",
        "price",
        "half_per_dollar",
        "fp32_per_dollar",
        "bandwidth_per_dollar",
        "memory_per_dollar",
        "g3d_per_dollar",
    ),
    "unified": (*TEXTS, *NUMBERS, *SCORES, *RATIOS, *TIERS),
}


@dataclass(frozen=True)
class Matrix:
    """`rows` hold a cell for each of `columns`, the first of which is the device's name."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    coverage: Mapping[str, float] = field(init=False)
    """Share of the rows that fill a column, 0 to 1."""

    def __post_init__(self) -> None:
        n = max(1, len(self.rows))
        filled = {c: sum(row[at] is not None for row in self.rows) / n for at, c in enumerate(self.columns)}
        object.__setattr__(self, "coverage", filled)

    @property
    def total(self) -> float:
        """Share of all cells but the names that are filled."""
        return sum(share for column, share in self.coverage.items() if column != "name") / (len(self.columns) - 1)


def matrix(name: str, devices: Iterable[Device], scores: Mapping[str, Mapping[str, float]] | None = None) -> Matrix:
    """One of MATRICES over devices, in their order; `scores` are by device name and column of SCORES."""
    columns = MATRICES[name]
    known = scores or {}
    rows = [(one.name, *(cell(one, column, known.get(one.name, {})) for column in columns)) for one in devices]
    return Matrix(name, ("name", *columns), tuple(rows))


def cell(device: Device, column: str, scores: Mapping[str, float] | None = None) -> Cell:
    """The value of a column for a device, None where no source states it."""
    if column in RATIOS:
        above, below = (cell(device, part, scores) for part in RATIOS[column])
        return above / below if isinstance(above, int | float) and isinstance(below, int | float) else None
    if column in SCORES:
        return (scores or {}).get(column)
    if column in DTYPES:
        return device.rates.get(column)
    if column == "half":
        return derived.half(device)
    if column in TIERS:
        return tiers.tier(device) if column == "tier" else tiers.ai_tier(device)
    value: Cell = getattr(device, column)
    return None if value == "" else value
