"""How often each part of a plain cost is paid: non-negative least squares of the relative error.

    often = fit(costs, seconds, devices)          # (rows, parts), (rows,), (rows,) -> (parts,), none below zero
    costs @ often                                 # seconds

Far-off rows count by their distance and not its square (iterated weights: least absolute deviation), and a device by
the root of its rows. Lawson and Hanson (1974), chapter 23. This file does not know what the parts are.
"""

from __future__ import annotations

import numpy as np

from netwright.predict.learning.table import Floats, Texts

ROUNDS = 25
CLOSE = 0.03
"""Rows this close in logs count alike."""


def fit(costs: Floats, seconds: Floats, devices: Texts) -> Floats:
    """Costs in seconds, each part paid once; columns of zeros get none."""
    from scipy.optimize import nnls

    _, place, counts = np.unique(devices.astype(str), return_inverse=True, return_counts=True)
    root = counts[place] ** -0.25
    relative = costs / seconds[:, None]
    size = np.where(relative.any(axis=0), np.median(relative, axis=0) + relative.mean(axis=0), 1.0)
    weight = root.copy()
    for _ in range(ROUNDS):
        found, _ = nnls(relative / size * weight[:, None], weight)
        ratio = np.maximum(relative / size @ found, 1e-3)
        weight = root / np.sqrt(np.maximum(np.abs(np.log(ratio)), CLOSE)) / np.maximum(ratio, 0.3)
    often: Floats = found / size
    return often
