"""Amounts: what is predicted of a tracing, and the scale on which its errors are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TARGETS = ("ssim", "ssim_active", "bytes", "paths", "tracer_bytes", "corners")
FLOOR = 1e-3
"""Distances from a similarity of 1 below this are all one: nobody sees them, and few reach them."""


def scaled(values_NT: NDArray[np.float64]) -> NDArray[np.float32]:
    """TARGETS -> what the network learns: log10 of the distance from 1, log10 of the counts."""
    distance = np.log10(np.maximum(1 - values_NT[:, :2], 0) + FLOOR)
    return np.concatenate([distance, np.log10(np.maximum(values_NT[:, 2:], 1))], 1).astype(np.float32)


def unscaled(values_NT: NDArray[np.float64]) -> NDArray[np.float64]:
    """The other way round."""
    return np.concatenate([1 + FLOOR - 10 ** values_NT[:, :2], 10 ** values_NT[:, 2:]], 1)
