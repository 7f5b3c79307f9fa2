"""Bias terms with partial pooling: what is left over, by work, mode, architecture, manufacturer.

    found = fit(residuals, {"mode": modes, "manufacturer": makers}, units=devices)
    found.of({"mode": ..., "manufacturer": ...})          # (rows,) logs to add

The mean of a group counts in proportion n / (n + variance within / variance between), n being the number
of devices in it: rows of one device are not independent of each other. A group never seen has the effect 0.
See Gelman and Hill (2007), chapter 12. This file does not know what was predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from netwright.predict.learning.table import Floats, Texts

LARGEST = 2.0
"""No effect is larger than this, in logs: a factor of 7 is a fault of the data."""


@dataclass(frozen=True)
class Effects:
    """Level -> group -> effect in logs."""

    tables: Mapping[str, Mapping[str, float]]

    def of(self, labels: Mapping[str, Texts]) -> Floats:
        """The sum over levels, shape (rows,)."""
        total: Any = 0.0
        for level, table in self.tables.items():
            if level in labels:
                distinct, place = np.unique(labels[level].astype(str), return_inverse=True)
                total = total + np.array([table.get(str(name), 0.0) for name in distinct])[place]
        n = len(next(iter(labels.values())))
        summed: Floats = np.zeros(n) + total
        return summed


def fit(residuals: Floats, labels: Mapping[str, Texts], units: Texts) -> Effects:
    """Effects of each level in turn, each from what the earlier ones left; `units` name the devices."""
    left = np.asarray(residuals, dtype=float).copy()
    tables: dict[str, dict[str, float]] = {}
    for level, names in labels.items():
        tables[level] = _level(left, names.astype(str), units.astype(str))
        left -= Effects({level: tables[level]}).of({level: names})
    return Effects(tables)


def _level(residuals: Floats, names: Texts, units: Texts) -> dict[str, float]:
    """Group -> shrunk mean of its units' medians."""
    import pandas as pd

    cells_of = pd.Series(residuals).groupby([pd.Series(names), pd.Series(units)], sort=True).median()
    cell_group, cells = cells_of.index.get_level_values(0).to_numpy(dtype=str), cells_of.to_numpy()
    groups, place, counts = np.unique(cell_group, return_inverse=True, return_counts=True)
    means = np.bincount(place, cells) / counts
    if len(groups) < 2:
        return {}
    within = _variance(cells - means[place], max(len(cells) - len(groups), 0))
    within = within if within > 0 else _variance(cells - cells.mean(), len(cells) - 1)
    between = max(_variance(means - means.mean(), len(groups) - 1) - within / counts.mean(), 0.0)
    shrink = between / (between + within / counts) if between > 0 else np.zeros(len(groups))
    shrunk = np.clip(shrink * means, -LARGEST, LARGEST)
    return {
        str(name): round(float(effect), 4) for name, effect in zip(groups, shrunk, strict=True) if abs(effect) > 5e-4
    }


def _variance(deviations: Floats, freedom: int) -> float:
    return float((deviations**2).sum() / freedom) if freedom > 0 else 0.0
