"""Guesses for values that no source states, each with its interval and the method that made it.

    for one in impute(catalog.all()):
        print(one.device, one.quantity, one.value, one.low, one.high, one.method)
    evaluate(catalog.all())          # the cross-validated error of every method, and the interval's coverage

Three kinds of method compete for each quantity, and of those that can answer for a device the one with the
least cross-validated error is used: the median of the architecture, in which the nearest devices weigh most; a
scaling factor, such a median of the ratio to another of the device's values; a regression on the logarithms of
rate, bandwidth and memory and on the year, with a partially pooled effect of the architecture. Each falls back on
the maker's devices, then on all. Where others of the architecture state the quantity, a method is judged with one
device left out; elsewhere with each architecture left out whole. The interval is the conformal quantile of those
errors (Vovk et al. 2005). A guess never replaces a stated value and is written to `imputed_values` alone. This file
does not know why a value is missing: a rate of 16 or 8 bits, which some chips do not have at all, is guessed only
where three of its architecture state it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netwright.core import stats
from netwright.hardware import derived
from netwright.hardware.device import Device

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]
LEVEL = 0.9
LEAST_ROWS = 8
"""Devices that must state a quantity before it is guessed: nine errors are the fewest that bound 90 %."""
WIDEST = 10.0
"""A guess whose interval spans more than a factor of ten either way says nothing, and is not made."""

QUANTITIES: dict[str, tuple[str, ...]] = {
    "rates.fp32": ("half", "units", "bandwidth"),
    "rates.fp16": ("rates.fp32", "rates.int8", "bandwidth"),
    "rates.int8": ("half",),
    "rates.fp8": ("half",),
    "power": ("half", "rates.fp32", "bandwidth"),
    "price": ("half", "memory"),
    "units": ("rates.fp32", "half"),
    "clock": (),
    "cache": ("bandwidth", "units"),
    "die_area": ("transistors", "units"),
    "transistors": ("die_area", "half"),
}
"""Quantity -> what it may be scaled from."""

MAY_NOT_BE = ("rates.fp16", "rates.int8", "rates.fp8")
"""Rates that a chip may not have at all: guessed only where `LEAST_KIN` of its architecture state them."""
LEAST_KIN = 3

NEAREST = 1e-3
"""Squared distance in natural logarithms (3 %) below which a neighbour weighs no more."""
JUDGED = 400
"""Devices that a method is tried on, evenly over the catalogue; leaving out each of 2,000 would take a minute."""

REGRESSORS = ("half", "rates.fp32", "bandwidth", "memory", "year")


@dataclass(frozen=True)
class Imputed:
    """One guess: `low` to `high` hold the value with probability `level`; `note` says what it rests on."""

    device: str
    quantity: str
    value: float
    low: float
    high: float
    level: float
    method: str
    note: str


@dataclass(frozen=True)
class Error:
    """How well a method guesses a quantity of devices it was not shown.

    `median` and `p90` are absolute relative errors as a factor minus one; `coverage` is the share of intervals that
    held the value, each made from the errors of other architectures. `new`: with architectures left out whole.
    `rank` 0 is used first, the others where it has no answer.
    """

    quantity: str
    method: str
    new: bool
    n: int
    median: float
    p90: float
    coverage: stats.Interval
    rank: int


@dataclass(frozen=True)
class _Table:
    """Natural logarithms of the devices' values (years as they are), NaN where unknown, and who is kin."""

    values: dict[str, Floats]
    architecture: Texts
    manufacturer: Texts


Method = Callable[[_Table, NDArray[np.intp], NDArray[np.intp]], Floats]
"""(table, rows to learn from, rows to guess) -> logarithms of the guesses, NaN where it has none."""


def impute(devices: Sequence[Device], only: str | None = None, level: float = LEVEL) -> list[Imputed]:
    """Every value of QUANTITIES that a device lacks and a method can guess; `only` the device of that name."""
    table = _table(devices)
    found: list[Imputed] = []
    for quantity in QUANTITIES:
        known = np.flatnonzero(np.isfinite(table.values[quantity]))
        wanted = np.array([at for at in np.flatnonzero(~np.isfinite(table.values[quantity]))
                           if only in (None, devices[int(at)].name)], dtype=np.intp)  # fmt: skip
        if len(known) < LEAST_ROWS or not len(wanted):
            continue
        kin = np.array([_kin(table, known, at) for at in wanted])
        for new in (False, True):
            rows = wanted[(kin == 0) == new]
            if quantity in MAY_NOT_BE:
                rows = wanted[kin >= LEAST_KIN] if not new else rows[:0]
            left = "left out whole" if new else "known"
            for method, errors, kin_of in _ranked(table, quantity, known, new):
                spread = _spread(errors, kin_of, level, new)
                if not len(rows) or math.exp(min(spread, 99)) > WIDEST:
                    continue
                guesses = _methods(quantity)[method](table, known, rows)
                note = f"{len(errors)} devices, architecture {left}"
                for at, guess in zip(rows, guesses, strict=True):
                    if math.isfinite(guess):
                        value, low, high = (math.exp(guess + way * spread) for way in (0, -1, 1))
                        found.append(Imputed(devices[int(at)].name, quantity, value, low, high, level, method, note))
                rows = rows[~np.isfinite(guesses)]
    return found


def write(engine: Engine, guesses: Sequence[Imputed]) -> int:
    """Replace `imputed_values` by these guesses, in one transaction; returns how many were written.

    Guesses for devices that are not in the database's catalogue are left out.
    """
    import sqlalchemy as sa

    from netwright.core import db
    from netwright.hardware import schema

    columns = ("quantity", "value", "low", "high", "level", "method", "note")
    with db.writing(engine) as connection:
        ids = {name: at for at, name in connection.execute(sa.select(schema.devices.c.id, schema.devices.c.name))}
        rows = [{"device_id": ids[one.device], **{name: getattr(one, name) for name in columns}}
                for one in guesses if one.device in ids]  # fmt: skip
        connection.execute(schema.imputed_values.delete())
        if rows:
            connection.execute(schema.imputed_values.insert(), rows)
    return len(rows)


def evaluate(devices: Sequence[Device], level: float = LEVEL) -> list[Error]:
    """The cross-validated error of each method and quantity, known architectures first."""
    table = _table(devices)
    found = []
    for quantity in QUANTITIES:
        known = np.flatnonzero(np.isfinite(table.values[quantity]))
        if len(known) < LEAST_ROWS:
            continue
        for new in (False, True):
            for rank, (method, errors, kin) in enumerate(_ranked(table, quantity, known, new)):
                size = np.abs(errors)
                limits = {one: _spread(size[kin != one], kin[kin != one], level, new) for one in np.unique(kin)}
                held = sum(one <= limits[mine] for one, mine in zip(size, kin, strict=True))
                median, p90 = np.expm1(np.quantile(size, [0.5, 0.9])).tolist()
                share = stats.proportion(held, len(size))
                found.append(Error(quantity, method, new, len(size), median, p90, share, rank))
    return found


def _ranked(table: _Table, quantity: str, known: NDArray[np.intp], new: bool) -> list[tuple[str, Floats, Texts]]:
    """(method, its errors, their architectures), the best first: guess minus truth, of what was left out."""
    tried = known[:: math.ceil(len(known) / JUDGED)]
    if new:
        groups = [tried[table.architecture[tried] == one] for one in np.unique(table.architecture[tried])]
    else:
        groups = [np.array([at]) for at in tried if _kin(table, known, at) > 1]
    found = []
    for name, method in _methods(quantity).items():
        parts = [np.empty(0)]
        for rows in groups:
            out = table.architecture[known] == table.architecture[rows[0]] if new else known == rows[0]
            parts.append(method(table, known[~out], rows) - table.values[quantity][rows])
        errors = np.concatenate(parts)
        judged = table.architecture[np.concatenate([known[:0], *groups])][np.isfinite(errors)]
        if len(judged) >= LEAST_ROWS:
            found.append((name, errors[np.isfinite(errors)], judged))
    return sorted(found, key=lambda one: float(np.mean(np.minimum(np.abs(one[1]), 1.0))))


def _spread(errors: Floats, kin: Texts, level: float, new: bool) -> float:
    """Half the interval on the logarithmic scale; for a new architecture, all architectures weigh the same."""
    return stats.conformal(np.abs(errors), level, kin.tolist() if new else None)


def _kin(table: _Table, known: NDArray[np.intp], at: int | np.intp) -> int:
    """How many known rows share the architecture; one that is unnamed has none in common with any."""
    mine = table.architecture[at]
    return int(np.sum(table.architecture[known] == mine)) if mine else 0


def _methods(quantity: str) -> dict[str, Method]:
    scaled = {f"scaled from {other}": _scaling(quantity, other) for other in QUANTITIES[quantity]}
    return {"architecture median": _median(quantity), **scaled, "regression": _regression(quantity)}


def _median(quantity: str) -> Method:
    def guess(table: _Table, known: NDArray[np.intp], rows: NDArray[np.intp]) -> Floats:
        return _kin_median(table, table.values[quantity], known, rows)

    return guess


def _scaling(quantity: str, other: str) -> Method:
    def guess(table: _Table, known: NDArray[np.intp], rows: NDArray[np.intp]) -> Floats:
        ratio = table.values[quantity] - table.values[other]
        return _kin_median(table, ratio, known[np.isfinite(ratio[known])], rows) + table.values[other][rows]

    return guess


def _kin_median(table: _Table, values: Floats, known: NDArray[np.intp], rows: NDArray[np.intp]) -> Floats:
    """For each row the median over its architecture, else its maker's devices, else all, the nearest weighing most.

    A weight is the inverse squared distance in logarithms of bandwidth and memory (Shepard 1968): it tells the
    large chip of an architecture from the small ones, whose units differ.
    """
    found = np.full(len(rows), np.nan)
    place = np.column_stack([table.values["bandwidth"], table.values["memory"]])
    for at, row in enumerate(rows):
        for kin in (table.architecture[known] == table.architecture[row],
                    table.manufacturer[known] == table.manufacturer[row], np.ones(len(known), bool)):  # fmt: skip
            if kin.any() and (table.architecture[row] or not kin.all()):
                own = known[kin]
                distance = ((place[own] - place[row]) ** 2).sum(axis=1)
                found[at] = stats.weighted_median(values[own], 1 / np.maximum(distance, NEAREST))
                break
    return found


def _regression(quantity: str) -> Method:
    """Least squares on what a row states of REGRESSORS, and the architecture's mean residual, shrunk by n / (n + 2)."""
    names = [name for name in REGRESSORS if name != quantity and not (quantity == "rates.fp16" and name == "half")]

    def guess(table: _Table, known: NDArray[np.intp], rows: NDArray[np.intp]) -> Floats:
        found = np.full(len(rows), np.nan)
        states = np.array([np.isfinite(table.values[name][rows]) for name in names]).T
        for pattern in np.unique(states, axis=0):
            mine = np.flatnonzero((states == pattern).all(axis=1))
            stated = [table.values[name] for name, on in zip(names, pattern, strict=True) if on]
            x = np.column_stack([*stated, np.zeros(len(table.architecture))])[:, :-1]
            full = known[np.isfinite(x[known]).all(axis=1)]
            if len(full) < 3 * (x.shape[1] + 1):
                continue
            centre = x[full].mean(axis=0)
            design = np.column_stack([np.ones(len(full)), x[full] - centre])
            weights = np.linalg.lstsq(design, table.values[quantity][full], rcond=None)[0]
            rest = table.values[quantity][full] - design @ weights
            for at in mine:
                kin = table.architecture[full] == table.architecture[rows[at]]
                effect = rest[kin].sum() / (kin.sum() + 2) if table.architecture[rows[at]] else 0.0
                found[at] = weights[0] + (x[rows[at]] - centre) @ weights[1:] + effect
        return found

    return guess


def _table(devices: Sequence[Device]) -> _Table:
    names = dict.fromkeys([*QUANTITIES, *(other for others in QUANTITIES.values() for other in others), *REGRESSORS])
    values = {name: np.array([_number(device, name) for device in devices], dtype=np.float64) for name in names}
    with np.errstate(invalid="ignore"):
        logs = {name: column if name == "year" else np.log(column) for name, column in values.items()}
    return _Table(logs, np.array([d.architecture for d in devices]), np.array([d.manufacturer for d in devices]))


def _number(device: Device, name: str) -> float:
    if name == "half":
        value = derived.half(device)
    elif name == "rates.fp16":  # bf16 stands for it: the units are the same
        value = derived.half(device) if {"fp16", "bf16"} & device.rates.keys() else None
    elif name.startswith("rates."):
        value = device.rates.get(name.removeprefix("rates."))
    else:
        value = getattr(device, name)
    return math.nan if value is None else float(value)
