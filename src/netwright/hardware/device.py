"""Device: what a chip can do at most, and who says so.

    device.rate("bf16")      # Rate(least=9.89e14, flops=9.89e14, most=9.89e14, note="")

Rates are peaks of dense arithmetic; a figure with sparsity is never stored. A value that no source
gives is absent, and `rate` then says in words what it took instead. This file knows no device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from netwright.core.error import UserError, did_you_mean

DTYPES = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4", "int4")
"""The arithmetic a device may state a rate for."""

OPTIONAL: tuple[str, ...] = ("power", "price", "units", "clock", "cache", "link", "host_link", "network", "process")
OPTIONAL += ("die_area", "transistors")
"""Numbers of a Device that a source may leave out."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Who states a group of values: an address or a file, when it was read or last changed, its licence."""

    values: tuple[str, ...]
    where: str
    date: str
    licence: str


@dataclass(frozen=True)
class Rate:
    """Arithmetic per second in some dtype: what to reckon with, and the least and most it may be.

    `note` says in words what a rate stands for that the device's sources do not give as such.
    """

    least: float
    flops: float
    most: float
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Device:
    """One chip or board. Frozen; every value comes from one of `sources`."""

    name: str
    manufacturer: str
    kind: Literal["cpu", "gpu", "accelerator"]
    rates: dict[str, float]
    """Dense peak per dtype in FLOP/s (operations per second for integers), as the source states it."""
    bandwidth: float
    """Main memory, B/s."""
    memory: float
    """B."""
    power: float | None = None
    """Thermal design power, W."""
    price: float | None = None
    """USD at release."""
    year: int | None = None
    architecture: str = ""
    """The maker's name of the generation: "Hopper", "Blackwell", "CDNA 3"; empty where no source says it."""
    units: int | None = None
    """Processors that take work by themselves: streaming multiprocessors, compute units, cores."""
    clock: float | None = None
    """Highest clock of the units, Hz."""
    cache: float | None = None
    """Last cache that all units share, B."""
    link: float | None = None
    """To the next device in the same node, B/s in one direction."""
    host_link: float | None = None
    """To the host, B/s in one direction."""
    network: float | None = None
    """To a device in another node, B/s in one direction."""
    process: float | None = None
    """What the maker calls the process node, m."""
    die_area: float | None = None
    """Of all compute dies together, m^2."""
    transistors: float | None = None
    narrow: bool = False
    """The 16-bit matrix rates hold for 16-bit accumulation only; with 32 bits, which frameworks use, half."""
    aliases: tuple[str, ...] = ()
    note: str = ""
    sources: tuple[Source, ...] = ()
    this_machine: bool = False
    fingerprint: str | None = None
    """Of this machine only."""
    measured: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Low and high of the 95 % interval of values that were measured: "bandwidth", "rates.fp32"."""

    def __post_init__(self) -> None:
        numbers = {"bandwidth": self.bandwidth, "memory": self.memory}
        numbers |= {f"rates.{dtype}": rate for dtype, rate in self.rates.items()}
        numbers |= {name: value for name in OPTIONAL if (value := getattr(self, name)) is not None}
        for name, value in numbers.items():
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{self.name}: {name} = {value} is no positive number")
        unknown = self.rates.keys() - set(DTYPES)
        if unknown or not self.rates:
            raise ValueError(f"{self.name}: needs rates among {', '.join(DTYPES)}, not {sorted(self.rates)}")

    def rate(self, dtype: str) -> Rate:
        """What to reckon with for a dtype: the stated rate, or one that stands in for it.

        Raises UserError for a dtype that nothing can stand in for.
        """
        if dtype not in DTYPES:
            raise UserError("dtype", dtype, did_you_mean(dtype, DTYPES), "netwright hardware show NAME")
        if dtype in self.rates:
            flops, note = self._stated(dtype)
            if dtype == "fp32" and self.kind == "gpu" and "bf16" in self.rates:
                tf32 = max(flops, self.rates.get("tf32", self._stated("bf16")[0] / 2))
                return Rate(flops, flops, tf32, "fp32; at best TF32, which some runtimes take for it")
            return Rate(flops, flops, flops, note)
        for other, by, why in INSTEAD.get(dtype, ()):
            if other in self.rates:
                flops, note = self._stated(other)
                note = f"no {dtype} rate is known: {why}" + (f"; {note}" if note else "")
                return Rate(flops * by[0], flops * by[1], flops * by[2], note)
        known = f"{self.name} has rates for {', '.join(self.rates)}"
        raise UserError("dtype", dtype, known, f"netwright hardware show {self.name!r}")

    def _stated(self, dtype: str) -> tuple[float, str]:
        halved = self.narrow and dtype in ("bf16", "fp16")
        note = f"half of the stated {dtype} rate, which holds for 16-bit accumulation" if halved else ""
        return self.rates[dtype] * (0.5 if halved else 1.0), note


_SAME = (1.0, 1.0, 1.0)

INSTEAD: Mapping[str, tuple[tuple[str, tuple[float, float, float], str], ...]] = {
    "tf32": (("fp32", _SAME, "computed in fp32"),),
    "bf16": (("fp32", _SAME, "computed in fp32"), ("fp16", _SAME, "computed in fp16")),
    "fp16": (("bf16", _SAME, "the same units as bf16"), ("fp32", _SAME, "computed in fp32")),
    "fp8": (
        ("bf16", _SAME, "computed in bf16"),
        ("fp16", _SAME, "computed in fp16"),
        ("fp32", _SAME, "computed in fp32"),
    ),
    "fp4": (
        ("fp8", _SAME, "computed in fp8"),
        ("bf16", _SAME, "computed in bf16"),
        ("fp16", _SAME, "computed in fp16"),
    ),
    "int4": (("int8", _SAME, "computed in int8"), ("bf16", _SAME, "computed in bf16"), ("fp16", _SAME, "in fp16")),
    "int8": (
        ("bf16", (1.0, 1.0, 2.0), "reckoned as bf16, perhaps twice that"),
        ("fp16", (1.0, 1.0, 2.0), "reckoned as fp16, perhaps twice that"),
        ("fp32", (1.0, 1.0, 4.0), "reckoned as fp32, perhaps four times that"),
    ),
    "fp32": (
        ("bf16", (1 / 36, 1 / 8, 1 / 2), "an eighth of bf16, which on other devices is 2 to 36 times fp32"),
        ("fp16", (1 / 36, 1 / 8, 1 / 2), "an eighth of fp16, which on other devices is 2 to 36 times fp32"),
    ),
}
"""dtype -> (stated dtype, least, likely and most share of its rate, in words), first that is stated.

Of the 49 rows of Epoch AI's table that give both, 16-bit matrix arithmetic is 8.0 times fp32 in the
median and 2 to 36 times in 47; of 40 rows int8 is 1.0 to 2.2 times 16-bit in 38. fp64 has no
stand-in: nothing in a network should need it.
"""
