"""How alike two pictures are: structural similarity over the whole picture, and where there is something to see.

    reference = Reference(pixels_HWC)          # the moments of the original, kept
    reference.compare(drawn_HWC)               # Likeness(ssim=0.95, ssim_active=0.83)

SSIM of Wang, Bovik, Sheikh, Simoncelli 2004 (IEEE TIP 13/4, eq. 13) with a uniform window of 7 x 7, the sample's
covariance (over n - 1) and the mean over channels: what scikit-image's `structural_similarity` computes for
`channel_axis=2`. A flat white page makes any picture alike, so that `ssim_active` counts only the windows in which
the original's variance is above ACTIVE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.table import extra

WINDOW = 7
ACTIVE = 4.0
"""Variance, in squared steps of 255, from which a window of the original shows something."""
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True)
class Likeness:
    """Structural similarity, 1 for equal pictures: over all windows, and over those that show something."""

    ssim: float
    ssim_active: float


class Reference:
    """An original, uint8 (H, W, 3), with its moments, which every comparison needs."""

    def __init__(self, pixels_HWC: NDArray[np.uint8]) -> None:
        if pixels_HWC.ndim != 3 or min(pixels_HWC.shape[:2]) < WINDOW:
            raise ValueError(f"a picture of {WINDOW} x {WINDOW} pixels or more is needed, not {pixels_HWC.shape}")
        self._cv2 = extra("cv2", "comparing pictures")
        self._pixels_HWC = pixels_HWC.astype(np.float32)
        self._mean_HWC, self._square_HWC = self._filtered(self._pixels_HWC), self._filtered(self._pixels_HWC**2)
        spread_HWC = self._square_HWC - self._mean_HWC**2
        self.active_HW: NDArray[np.bool_] = spread_HWC.mean(2) > ACTIVE

    def compare(self, other_HWC: NDArray[np.uint8]) -> Likeness:
        """How alike another picture of the same size is."""
        map_HW = self.map(other_HWC)
        whole = float(map_HW.mean())
        return Likeness(whole, float(map_HW[self.active_HW].mean()) if self.active_HW.any() else whole)

    def map(self, other_HWC: NDArray[np.uint8]) -> NDArray[Any]:
        """SSIM of every window that lies within the picture: (H - 6, W - 6)."""
        if other_HWC.shape != self._pixels_HWC.shape:
            raise ValueError(f"{other_HWC.shape} cannot be compared with {self._pixels_HWC.shape}")
        other = other_HWC.astype(np.float32)
        mean = self._filtered(other)
        unbiased = WINDOW**2 / (WINDOW**2 - 1)
        product = self._mean_HWC * mean
        covariance = unbiased * (self._filtered(self._pixels_HWC * other) - product)
        squares = self._mean_HWC**2 + mean**2
        variances = unbiased * (self._square_HWC + self._filtered(other * other) - squares)
        similar = ((2 * product + C1) * (2 * covariance + C2)) / ((squares + C1) * (variances + C2))
        result: NDArray[Any] = similar.mean(2)
        return result

    def _filtered(self, values_HWC: NDArray[Any]) -> NDArray[Any]:
        """Means over windows, in double precision: moments of single precision lose the variance of flat places."""
        wide = self._cv2.boxFilter(values_HWC, self._cv2.CV_64F, (WINDOW, WINDOW), borderType=self._cv2.BORDER_REFLECT)
        edge = WINDOW // 2
        return np.asarray(wide[edge:-edge, edge:-edge])
