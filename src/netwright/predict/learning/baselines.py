"""What one would do without netwright, on the same rows: the rivals of a backtest.

    logs, usable = rivals(suite, train, test, devices, constants)      # method -> log of its guess, a value a row

The roofline; the roofline times a constant; boosted trees from specifications, as one tries first; the same work's
time on another device, scaled by the roofline. Also the suite's physics alone, without what was learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from netwright.hardware.device import Device
from netwright.predict.learning import hybrid, residual
from netwright.predict.learning.table import Columns, Floats, Specs, Suite, take

METHODS = ("roofline", "roofline x constant", "physics alone", "trees on specifications", "same work elsewhere")
MOST_ROWS = 40_000
"""Rows that the trees on specifications learn from; of more, a sample."""


def rivals(
    suite: Suite, train: Columns, test: Columns, devices: Mapping[str, Device], constants: Mapping[str, Any],
    seed: int = 0,
) -> tuple[dict[str, Floats], NDArray[np.bool_]]:  # fmt: skip
    """METHODS -> log of the guess for each usable row of `test`, NaN where there is none; and which rows are usable."""
    known, own = (_rows(suite, columns, devices, constants) for columns in (train, test))
    found = {
        "roofline": own.roofline,
        "roofline x constant": own.roofline + float(np.nanmedian(known.logs - known.roofline)),
        "physics alone": own.base,
        "trees on specifications": _trees_on_specifications(known, own, seed),
        "same work elsewhere": _elsewhere(known, own),
    }
    return found, own.usable


@dataclass(frozen=True)
class _Rows:
    columns: Columns
    specs: Specs
    base: Floats
    roofline: Floats
    logs: Floats
    usable: NDArray[np.bool_]


def _rows(suite: Suite, columns: Columns, devices: Mapping[str, Device], constants: Mapping[str, Any]) -> _Rows:
    specs = Specs.of(columns["device"], devices)
    told = hybrid.describe(suite, columns, specs, constants)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(columns["value"].astype(float))
    good = np.isfinite(told.base) & np.isfinite(logs) & ~told.refused
    plain = getattr(suite, "roofline", None)
    roofline = plain(columns, specs) if plain else told.base
    return _Rows(take(columns, good), specs.take(good), told.base[good], roofline[good], logs[good], good)


def _trees_on_specifications(known: _Rows, own: _Rows, seed: int) -> Floats:
    """From the rows' numeric columns and the device's raw numbers to the logarithm of the value."""

    def raw(of: _Rows) -> Floats:
        numbers = [
            np.log1p(np.abs(values.astype(float)))
            for name, values in of.columns.items()
            if name != "value" and values.dtype.kind in "fiu"
        ]
        specs = (of.specs.bandwidth, of.specs.memory, of.specs.power, of.specs.rate("fp16"), of.specs.rate("fp32"))
        return np.stack([*numbers, *(np.log(values) for values in specs)], axis=1)

    some = np.random.default_rng(seed).permutation(len(known.logs))[:MOST_ROWS]
    return residual.fit(raw(known)[some], known.logs[some], seed=seed).predict(raw(own))


def _elsewhere(known: _Rows, own: _Rows) -> Floats:
    """Scaled by the roofline, in the same mode where that was measured; NaN where the work was not."""

    def keys(of: _Rows, *names: str) -> pd.Series:
        return pd.Series(["|".join(map(str, row)) for row in zip(*(of.columns[name] for name in names), strict=True)])

    off = pd.Series(known.logs - known.roofline)
    exact = keys(own, "work", "mode").map(off.groupby(keys(known, "work", "mode")).median())
    alike = keys(own, "work").map(off.groupby(keys(known, "work")).median())
    found: Floats = own.roofline + exact.fillna(alike).to_numpy(float)
    return found
