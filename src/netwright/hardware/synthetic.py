"""A device that nobody makes, between those that somebody does: so many units, so much bandwidth.

    made = synthetic.device("Hopper", units=100, bandwidth=2.5e12, memory=96e9)
    made.device.rate("bf16").flops, made.intervals["rates.bf16"], made.basis

What one unit does in a cycle, and its clock, power and cache, are interpolated on a logarithmic scale between
the devices of the architecture, each weighted by the inverse square of its distance in units, bandwidth and
memory (Shepard 1968). The interval is the conformal quantile of what the same rule makes of each device of the
architecture from the others, or where those are few, of every device from its own kin. The device is named
and noted as synthetic, and no source states its values. This file knows nothing of what can be built, and
refuses to go far beyond what was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netwright.core import stats
from netwright.core.error import UserError, did_you_mean
from netwright.hardware.device import DTYPES, Device, Source

LEVEL = 0.9
LEAST = 2
"""Devices of an architecture that must give units, clock and a rate."""
ENOUGH = 20
"""Errors within the architecture that make an interval; with fewer, those of all architectures do."""
BEYOND = 2.0
"""How far outside the architecture's own units and bandwidth a configuration may lie, as a factor."""
NEAREST = 1e-3
"""Squared distance in natural logarithms (3 %) below which a neighbour counts no more."""


@dataclass(frozen=True)
class Synthetic:
    """`intervals` hold each interpolated value with probability `level`; `errors` count what they rest on."""

    device: Device
    intervals: dict[str, tuple[float, float]]
    basis: tuple[str, ...]
    level: float
    errors: dict[str, int]


def device(
    architecture: str,
    units: int,
    bandwidth: float,
    memory: float,
    *,
    clock: float | None = None,
    power: float | None = None,
    devices: Sequence[Device] | None = None,
) -> Synthetic:
    """A device of an architecture with that many units, bandwidth in B/s and memory in B; what is given is exact.

    Raises UserError for an unknown architecture, one with too few devices, or a configuration more than
    twice beyond them.
    """
    from netwright.hardware import catalog

    known = catalog.all() if devices is None else devices
    wanted = {"units": float(units), "bandwidth": bandwidth, "memory": memory}
    for name, value in wanted.items():
        if not (math.isfinite(value) and value > 0):
            raise UserError(name, value, "a positive number", "netwright hardware synthesize --help")
    kin = _kin(architecture, known)
    _within(wanted, kin, architecture)
    guesses = _guess(wanted, kin, clock, power)
    own = {name: found for name, found in leave_one_out(kin).items() if len(found) >= ENOUGH}
    errors = leave_one_out(known) | own
    spreads = {name: stats.conformal(abs(found), LEVEL) for name, found in errors.items()}
    values = {name: value for name, value in guesses.items() if spreads.get(name, math.inf) < math.log(10)}
    values |= {name: given for name, given in (("clock", clock), ("power", power)) if given is not None}
    rates = {name.removeprefix("rates."): value for name, value in values.items() if name.startswith("rates.")}
    if not rates:
        raise UserError("architecture", architecture, "one whose rates scale with units and clock", "more devices")
    basis = tuple(one.name for one in kin)
    about = f"interpolated between {', '.join(basis[:4])}" + (f" and {len(basis) - 4} more" if len(basis) > 4 else "")
    made = Device(
        name=f"Synthetic {architecture}, {units} units, {bandwidth / 1e9:g} GB/s, {memory / 1e9:g} GB",
        manufacturer=kin[0].manufacturer, kind=kin[0].kind, rates=rates, architecture=kin[0].architecture,
        bandwidth=bandwidth, memory=memory, units=units,
        clock=values.get("clock"), power=values.get("power"), cache=values.get("cache"),
        note="Synthetic: no such device is known, and no source states its values.",
        sources=(Source(values=tuple(values), where=about, date="", licence="derived"),),
    )  # fmt: skip
    free = {name for name in values if not (name == "clock" and clock) and not (name == "power" and power)}
    intervals = {name: (values[name] * math.exp(-spreads[name]), values[name] * math.exp(spreads[name]))
                 for name in values if name in free}  # fmt: skip
    return Synthetic(made, intervals, basis, LEVEL, {name: len(errors[name]) for name in free})


def leave_one_out(devices: Sequence[Device]) -> dict[str, NDArray[np.float64]]:
    """Quantity -> logarithm of guess over truth of each device, from the others of its architecture."""
    errors: dict[str, list[float]] = {}
    for architecture in sorted({one.architecture for one in devices} - {""}):
        kin = [one for one in devices if one.architecture == architecture and _usable(one)]
        for at, one in enumerate(kin):
            others = kin[:at] + kin[at + 1 :]
            if len(others) < LEAST:
                continue
            truth = _numbers(one)
            guesses = _guess({name: truth[name] for name in ("units", "bandwidth", "memory")}, others, None, None)
            for name, guess in guesses.items():
                if name in truth:
                    errors.setdefault(name, []).append(math.log(guess / truth[name]))
    return {name: np.array(found) for name, found in errors.items()}


def _guess(
    wanted: dict[str, float], kin: Sequence[Device], clock: float | None, power: float | None
) -> dict[str, float]:
    rows = [_numbers(one) for one in kin]
    distance = np.array(
        [sum(math.log(row[name] / value) ** 2 for name, value in wanted.items()) for row in rows], dtype=np.float64
    )
    weights = 1 / np.maximum(distance, NEAREST)

    def between(values: list[float | None]) -> float | None:
        have = np.array([value is not None for value in values])
        if not have.any():
            return None
        logs = np.log(np.array([value for value in values if value is not None], dtype=np.float64))
        return float(np.exp(np.average(logs, weights=weights[have])))

    found: dict[str, float] = {}
    at = clock or between([row.get("clock") for row in rows])
    if at is None:
        return found
    found["clock"] = at
    for name in (*(f"rates.{dtype}" for dtype in DTYPES), "power", "cache"):
        scale = 1.0 if name in ("power", "cache") else at
        each = [row[name] / row["units"] / (1.0 if scale == 1.0 else row["clock"]) if name in row else None
                for row in rows]  # fmt: skip
        one = between(each)
        if one is not None and sum(value is not None for value in each) >= min(LEAST, len(rows)):
            found[name] = one * wanted["units"] * scale
    return found


def _numbers(one: Device) -> dict[str, float]:
    found = {name: getattr(one, name) for name in ("units", "bandwidth", "memory", "clock", "power", "cache")}
    found |= {f"rates.{dtype}": one.rate(dtype).flops for dtype in one.rates}
    return {name: float(value) for name, value in found.items() if value is not None}


def _usable(one: Device) -> bool:
    return one.units is not None and one.clock is not None


def _kin(architecture: str, known: Sequence[Device]) -> list[Device]:
    names = {one.architecture.lower(): one.architecture for one in known if one.architecture and _usable(one)}
    if architecture.lower() not in names:
        raise UserError("architecture", architecture, did_you_mean(architecture, sorted(names.values())),
                        "netwright hardware list --architecture NAME")  # fmt: skip
    kin = [one for one in known if one.architecture == names[architecture.lower()] and _usable(one)]
    if len(kin) < LEAST:
        raise UserError("architecture", architecture, f"one of which {LEAST} devices give units and clock",
                        "netwright hardware import SOURCE")  # fmt: skip
    return kin


def _within(wanted: dict[str, float], kin: Sequence[Device], architecture: str) -> None:
    for name in ("units", "bandwidth", "memory"):
        values = [_numbers(one)[name] for one in kin]
        low, high = min(values) / BEYOND, max(values) * BEYOND
        if not low <= wanted[name] <= high:
            raise UserError(name, f"{wanted[name]:g}", f"{low:.4g} to {high:.4g} for {architecture}",
                            "a configuration nearer to devices that are known")  # fmt: skip
