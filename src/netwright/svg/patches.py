"""Patches: how many the tracer joins in an image, how large they are and how long their outlines, before any tracing.

    numbers = patches(pixels_HWC)          # columns() names them

VTracer keeps `color_precision` bits of each channel and joins neighbours that then differ by no more than 1 to patches.
With a `filter_speckle` above 0 it keeps those of more than its square of pixels that have an inside: a pixel whose four
neighbours belong to the patch as well. Lines of two pixels, and the rims that smoothing leaves at edges, have none.
The rest is merged into what lies around it. The joining is done here as it is there, at several numbers of bits, by
labelling connected components (OpenCV): pixels and the joints between them stand on a grid of twice the side. It is no
pooling, so it does not stand in the exported graph.

Shape legend: H height, W width, C channels, K classes of size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.table import extra
from netwright.svg.raster import sampled

BITS = (3, 4, 5, 6)
"""Numbers of bits at which patches are looked for."""
SIDES = (0, 2, 4, 8, 16)
"""What `filter_speckle` may be; at 1 the same are kept as at 2, for the smallest patch with an inside has 5 pixels."""
SAID = ("patches", "outlines", "small", "lost")
"""Of the patches kept at a side the number and the length of their outlines; of the others the share of the area, and
of what stands out from its surroundings: logarithms."""
MOST = 256
"""Pixels of a side that are looked at."""
SURROUNDINGS = 7


def columns() -> list[str]:
    """Names of the numbers, in order."""
    return [f"{said} {bits} {side}" for bits in BITS for side in SIDES for said in SAID]


def patches(pixels_HWC: NDArray[np.uint8]) -> list[float]:
    """Numbers of an image on its page, uint8 with three channels."""
    cv2 = extra("cv2", "predicting tracings")
    planes_CHW = np.ascontiguousarray(sampled(pixels_HWC, MOST).transpose(2, 0, 1))
    area = planes_CHW[0].size
    luma_HW = (0.299 * planes_CHW[0] + 0.587 * planes_CHW[1] + 0.114 * planes_CHW[2]).astype(np.float32)
    apart_N = np.abs(luma_HW - cv2.blur(luma_HW, (SURROUNDINGS, SURROUNDINGS))).ravel()
    grid = np.zeros((2 * len(luma_HW) - 1, 2 * luma_HW.shape[1] - 1), np.uint8)
    grid[::2, ::2] = 1
    whole = pixels_HWC.shape[0] * pixels_HWC.shape[1] / area
    found: list[float] = []
    for bits in BITS:
        step = 1 << (8 - bits)
        cut_CHW = planes_CHW & np.uint8(256 - step)
        right_HW, down_HW = grid[::2, 1::2], grid[1::2, ::2]
        right_HW[:] = _apart(cut_CHW[:, :, 1:], cut_CHW[:, :, :-1]) < 2 * step
        down_HW[:] = _apart(cut_CHW[:, 1:], cut_CHW[:, :-1]) < 2 * step
        count, label = cv2.connectedComponentsWithAlgorithm(grid, 4, cv2.CV_32S, cv2.CCL_SAUF)
        label_HW = np.ascontiguousarray(label[::2, ::2])
        across_HW, along_HW = label_HW[:, 1:] == label_HW[:, :-1], label_HW[1:] == label_HW[:-1]
        inside_HW = across_HW[1:-1, 1:] & across_HW[1:-1, :-1] & along_HW[1:, 1:-1] & along_HW[:-1, 1:-1]
        class_P = CLASSES[np.minimum(np.bincount(label_HW.ravel(), minlength=count), len(CLASSES) - 1)]
        class_P[np.bincount(label_HW[1:-1, 1:-1][inside_HW], minlength=count) == 0] = 0
        class_HW = class_P[label_HW]
        across = _parted(class_HW[:, 1:], across_HW) + _parted(class_HW[:, :-1], across_HW)
        outlines_K = across + _parted(class_HW[1:], along_HW) + _parted(class_HW[:-1], along_HW)
        lost_K = np.array([np.dot((class_HW == size).ravel(), apart_N) for size in range(len(SIDES))])
        found += np.stack([
            np.log10(_at_least(np.bincount(class_P[1:], minlength=len(SIDES))) * whole + 1),
            np.log10(_at_least(outlines_K) * whole + 1),
            np.log10(_below(_counted(class_HW)) / area + FLOOR),
            np.log10(_below(lost_K) / (apart_N.sum() + 1e-3) + FLOOR),
        ], 1).ravel().tolist()  # fmt: skip
    return found


FLOOR = 1e-5
CLASSES = np.searchsorted([side**2 for side in SIDES[1:]], np.arange(max(SIDES) ** 2 + 2)).astype(np.uint8)
"""Pixels of a patch with an inside -> the last of SIDES at which it is kept."""


def _apart(first_CHW: NDArray[np.uint8], second_CHW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Greatest difference of a channel."""
    apart_CHW = np.maximum(first_CHW, second_CHW) - np.minimum(first_CHW, second_CHW)
    greatest_HW: NDArray[np.uint8] = apart_CHW.max(0)
    return greatest_HW


def _counted(class_HW: NDArray[np.uint8]) -> NDArray[Any]:
    return np.array([np.count_nonzero(class_HW == size) for size in range(len(SIDES))])


def _parted(class_HW: NDArray[np.uint8], same_HW: NDArray[np.bool_]) -> NDArray[Any]:
    """Pixels by class whose neighbour is not of the same patch."""
    return _counted(class_HW + same_HW * np.uint8(len(SIDES)))


def _at_least(count_K: NDArray[Any]) -> NDArray[Any]:
    return count_K[::-1].cumsum()[::-1]


def _below(amount_K: NDArray[Any]) -> NDArray[Any]:
    below_K: NDArray[Any] = np.cumsum(amount_K) - amount_K
    return below_K
