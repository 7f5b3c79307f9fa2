"""What every suite of the predictor speaks: columns of rows, numbers of their devices, a description with physics.

    columns, refused = suite.read(folder)                         # measured rows
    specs = Specs.of(columns["device"], devices)                  # what their devices can do at most
    described = suite.describe(columns, specs)                    # the physics, and features without units

A row is one measurement, or one question. `Columns` holds arrays of equal length by name; a suite says which it
needs. This file knows no suite, no unit and no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from netwright.core.error import UserError
from netwright.hardware.device import Device

Floats = NDArray[np.float64]
Texts = NDArray[Any]
Columns = dict[str, NDArray[Any]]

NUMBERS = ("bandwidth", "memory", "power", "units", "clock", "cache", "link", "host_link", "network", "year", "price")


@dataclass(frozen=True, kw_only=True)
class Specs:
    """Numbers of each row's device, each of shape (rows,), NaN where no source says it. Units as in Device."""

    bandwidth: Floats
    memory: Floats
    power: Floats
    units: Floats
    clock: Floats
    cache: Floats
    link: Floats
    host_link: Floats
    network: Floats
    year: Floats
    price: Floats
    names: Texts
    manufacturer: Texts
    architecture: Texts
    kind: Texts
    devices: tuple[Device, ...]
    which: NDArray[np.intp]
    """Of each row, its place in `devices`."""

    @classmethod
    def of(cls, names: Texts, devices: Mapping[str, Device]) -> Specs:
        """Of rows whose device is called so in `devices`."""
        distinct, which = np.unique(np.asarray(names, dtype=str), return_inverse=True)
        found = tuple(devices[str(name)] for name in distinct)

        def number(of: str) -> Floats:
            values = [getattr(device, of) for device in found]
            return np.array([np.nan if v is None else float(v) for v in values], dtype=float)[which]

        def text(of: str) -> Texts:
            return np.array([str(getattr(device, of)) for device in found], dtype=object)[which]

        texts = {of: text(of) for of in ("manufacturer", "architecture", "kind")}
        numbers = {of: number(of) for of in NUMBERS}
        return cls(names=text("name"), devices=found, which=which, **numbers, **texts)

    def rate(self, dtypes: Texts | str) -> Floats:
        """Dense arithmetic per second in each row's dtype, or what stands in for it; NaN where nothing can."""
        return self._by_dtype(dtypes, _rate)

    def stated(self, dtypes: Texts | str) -> Floats:
        """As `rate`, but NaN where a source states no rate for that very dtype."""
        return self._by_dtype(dtypes, lambda device, dtype: _rate(device, dtype) if dtype in device.rates else np.nan)

    @property
    def chips(self) -> Texts:
        """Of each row, what is one design: architecture, and a unit's 16-bit arithmetic in a clock, as a power of 2.

        The same name is sold for different chips: a unit of the Blackwell B200 does eight times the arithmetic of
        one in the RTX PRO 6000, which is Blackwell too.
        """
        named = np.array([_chip(device) for device in self.devices], dtype=object)
        found: Texts = named[self.which]
        return found

    def take(self, mask: NDArray[Any]) -> Specs:
        """The rows of a mask, or at places."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "devices"}
        return Specs(devices=self.devices, **{name: array[mask] for name, array in arrays.items()})

    def _by_dtype(self, dtypes: Texts | str, look: Any) -> Floats:
        if isinstance(dtypes, str):
            of_each: Floats = np.array([look(device, dtypes) for device in self.devices], dtype=float)[self.which]
            return of_each
        named = np.asarray(dtypes, dtype=str)
        distinct, place = np.unique(np.broadcast_to(named, self.which.shape), return_inverse=True)
        table = np.array([[look(device, str(dtype)) for dtype in distinct] for device in self.devices], dtype=float)
        found: Floats = table[self.which, place]
        return found


def _chip(device: Device) -> str:
    rate = device.rates.get("bf16", device.rates.get("fp16"))
    known = rate and device.units and device.clock
    of_a_unit = f" 2^{np.log2(rate / device.units / device.clock):.0f}" if known else ""  # type: ignore[operator]
    return f"{device.manufacturer} {device.architecture}{of_a_unit}"


def _rate(device: Device, dtype: str) -> float:
    try:
        return device.rate(dtype).flops
    except UserError:
        return float("nan")


@dataclass(frozen=True, kw_only=True)
class Described:
    """Rows as the learner sees them.

    `base` is the logarithm of the physical estimate, in the unit of the suite's quantity, shape (rows,);
    `features` (rows, names) are without units, NaN where unknown; `monotone` says for each feature how
    log(value) - base may move with it: -1, 0 or 1. `refused` rows get no number, `why` says so in words.
    """

    base: Floats
    features: Floats
    names: tuple[str, ...]
    monotone: tuple[int, ...]
    refused: NDArray[np.bool_]
    why: Texts

    def __post_init__(self) -> None:
        n, f = self.features.shape
        if not (self.base.shape == self.refused.shape == self.why.shape == (n,)):
            raise ValueError("base, refused and why have one value a row")
        if not len(self.names) == len(self.monotone) == f:
            raise ValueError(f"{f} features, {len(self.names)} names, {len(self.monotone)} directions")

    def take(self, mask: NDArray[Any]) -> Described:
        kept = (self.base[mask], self.features[mask], self.refused[mask], self.why[mask])
        return Described(
            base=kept[0], features=kept[1], refused=kept[2], why=kept[3], names=self.names, monotone=self.monotone
        )


class Suite(Protocol):
    """One kind of measured row. A module of `predict.suites` with these names is one.

    Optional names: REGIMES, features along which a device may deviate; PARAMS, settings of the boosted trees;
    SPLITS, name -> function of the columns and specs that gives the masks of train and test; LEFT_OUT, "device"
    where a device's siblings tell the constants of the physics, so that spreads and effects come from leaving out
    single devices and not architectures; and two functions:

    `fit_constants(columns, specs)` gives the constants of the physics, a JSON-like mapping that `describe` then takes
    as a third argument; they are fitted anew for each fold, so that a left-out device has no part in them.
    `roofline(columns, specs)` gives the log of the plain roofline, for the baselines, where `base` is more than that.
    """

    NAME: str
    QUANTITY: str

    def read(self, folder: Path) -> tuple[Columns, dict[str, int]]:
        """All rows of this suite in a folder of measurements, none where it has no such file; reason -> rows refused.

        Columns hold "device" as the file calls it, "value" in the quantity's unit, "work" (a key of what was computed),
        "mode" (the software), "family" (the kind of work), and what `describe` needs.
        """

    def describe(self, columns: Columns, specs: Specs) -> Described:
        """Physics and features of rows, measured or asked for: "value" is not looked at."""


def as_suite(module: ModuleType) -> Suite:
    return cast(Suite, module)


def rows(columns: Columns) -> int:
    return len(next(iter(columns.values()))) if columns else 0


def take(columns: Columns, mask: NDArray[Any]) -> Columns:
    """The rows of a mask, or at places."""
    return {name: array[mask] for name, array in columns.items()}
