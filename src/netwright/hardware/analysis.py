"""How the catalogue's values go together, and how efficiency grew: with intervals, from stated values only.

    found = correlations(catalog.all())
    found.rho["half", "bandwidth"].value
    trend(catalog.all(), "half_per_watt").yearly        # factor a year, with its interval

Correlations are Spearman's: of ranks, because values span decades. The catalogue is no sample of anything:
intervals say how much a figure hangs on single devices, not what holds for devices in general.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netwright.core.stats import Interval, bootstrap
from netwright.hardware import matrices
from netwright.hardware.device import Device

Floats = NDArray[np.float64]
COLUMNS = ("year", "fp32", "half", "int8", "bandwidth", "memory", "power", "price", "units", "clock", "cache",
           "die_area", "transistors", "half_per_watt", "ridge")  # fmt: skip
LEAST = 10
"""Devices that must state both of two columns."""
RESAMPLES = 500
PAIRS = 20_000
"""Pairs of devices behind one slope: all of up to 200 devices; of 2,000, a hundredth, in a hundredth of the time."""


@dataclass(frozen=True)
class Correlations:
    """`rho[a, b]` for the pairs that enough devices state, both ways round."""

    columns: tuple[str, ...]
    rho: dict[tuple[str, str], Interval]


@dataclass(frozen=True)
class Generation:
    """One architecture: the median of a column over its devices, and their median year."""

    architecture: str
    manufacturer: str
    year: float
    value: Interval


@dataclass(frozen=True)
class Trend:
    """`yearly` is the factor by which a column grows in a year, `doubling` the years it takes to double."""

    column: str
    yearly: Interval
    doubling: float
    generations: tuple[Generation, ...]


def correlations(devices: Sequence[Device], columns: Sequence[str] = COLUMNS, level: float = 0.95) -> Correlations:
    """Spearman's rank correlation of every two columns with a bootstrap interval over the devices that state both."""
    table = {name: _column(devices, name) for name in columns}
    shown = tuple(name for name in columns if np.isfinite(table[name]).sum() >= LEAST)
    found = {}
    for at, first in enumerate(shown):
        for second in shown[at + 1 :]:
            both = np.isfinite(table[first]) & np.isfinite(table[second])
            if both.sum() >= LEAST:
                found[first, second] = found[second, first] = _spearman(table[first][both], table[second][both], level)
    return Correlations(shown, found)


def trend(devices: Sequence[Device], column: str, level: float = 0.95) -> Trend:
    """Growth of a column by the year of release: the median slope of all pairs (Theil 1950, Sen 1968) of its logarithm.

    Raises ValueError where fewer than ten devices state both. The interval is a bootstrap over devices.
    """
    year, value = _column(devices, "year"), _column(devices, column)
    both = np.isfinite(year) & np.isfinite(value)
    if both.sum() < LEAST or np.ptp(year[both]) == 0:
        raise ValueError(f"{column}: {both.sum()} devices state it with their year, {LEAST} are needed")
    x, y = year[both], np.log(value[both])
    random = np.random.default_rng(0)
    draws = [_slope(x[rows], y[rows], random) for rows in random.integers(0, len(x), size=(RESAMPLES, len(x)))]
    slope = _slope(x, y, random)
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    value, low, high = np.exp([slope, min(low, slope), max(high, slope)]).tolist()
    yearly = Interval(value, low, high, len(x))
    return Trend(column, yearly, float(np.log(2) / slope) if slope > 0 else np.inf, generations(devices, column, level))


def generations(devices: Sequence[Device], column: str, level: float = 0.95) -> tuple[Generation, ...]:
    """The median of a column by architecture, oldest first, where two devices or more state it."""
    groups: dict[tuple[str, str], list[Device]] = {}
    for device in devices:
        if device.architecture and device.year and isinstance(matrices.cell(device, column), int | float):
            groups.setdefault((device.architecture, device.manufacturer), []).append(device)
    found = []
    for (architecture, manufacturer), kin in groups.items():
        if len(kin) >= 2:
            values, years = _column(kin, column), _column(kin, "year")
            interval = bootstrap(values, np.median, level, RESAMPLES)
            found.append(Generation(architecture, manufacturer, float(np.median(years)), interval))
    return tuple(sorted(found, key=lambda one: (one.year, one.architecture)))


def _column(devices: Sequence[Device], name: str) -> Floats:
    cells = [matrices.cell(device, name) for device in devices]
    return np.array([cell if isinstance(cell, int | float) else np.nan for cell in cells], dtype=np.float64)


def _spearman(a: Floats, b: Floats, level: float) -> Interval:
    rows = np.random.default_rng(0).integers(0, len(a), size=(RESAMPLES, len(a)))
    drawn = _pearson(_ranks(a, rows), _ranks(b, rows))
    drawn = drawn[np.isfinite(drawn)]
    once = np.arange(len(a))[None]
    value = float(_pearson(_ranks(a, once), _ranks(b, once))[0])
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) if len(drawn) else (value, value)
    return Interval(value, min(float(low), value), max(float(high), value), len(a))


def _ranks(x: Floats, rows: NDArray[np.intp]) -> Floats:
    """Ranks within each resample x[rows], shape (resamples, n); equal values share the mean of their ranks."""
    distinct, code = np.unique(x, return_inverse=True)
    drawn = code[rows]
    lines = np.arange(len(rows))[:, None]
    counts = np.bincount((lines * len(distinct) + drawn).ravel(), minlength=len(rows) * len(distinct))
    counts = counts.reshape(len(rows), len(distinct))
    ranks: Floats = (np.cumsum(counts, axis=1) - (counts - 1) / 2.0)[lines, drawn]
    return ranks


def _pearson(a: Floats, b: Floats) -> Floats:
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho: Floats = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return rho


def _slope(x: Floats, y: Floats, random: np.random.Generator) -> float:
    """The median slope of all pairs, or of `PAIRS` drawn at random where there are more."""
    n = len(x)
    first, second = np.triu_indices(n, 1) if n * (n - 1) // 2 <= PAIRS else random.integers(0, n, size=(2, PAIRS))
    apart = x[first] != x[second]
    slopes = (y[first] - y[second])[apart] / (x[first] - x[second])[apart]
    return float(np.median(slopes)) if len(slopes) else np.nan
