"""Views: what the predictor sees of an image of any size: the whole, small; pieces at its own resolution; facts."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from netwright.core.table import extra
from netwright.svg import patches
from netwright.svg.raster import Raster, sampled

WHOLE = 128
"""Side of the small picture, in pixels."""
PIECE = 192
"""Side of the picture of pieces."""
FACTS = (
    "log width", "log height", "log area", "log aspect", "log shrink", "clear", "partly clear", *patches.columns()
)  # fmt: skip


def views(raster: Raster) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """The small whole (3, WHOLE, WHOLE), the pieces (3, PIECE, PIECE), both uint8, and FACTS of the image.

    The whole is pressed into a square; of an image larger than PIECE the second has a grid of pieces, one that is
    smaller is mirrored until it fills it.
    """
    cv2 = extra("cv2", "predicting tracings")
    pixels_HWC = raster.on_white_HWC
    height, width = pixels_HWC.shape[:2]
    shrinks = height * width > WHOLE * WHOLE
    whole_HWC = cv2.resize(pixels_HWC, (WHOLE, WHOLE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    piece_HWC = sampled(pixels_HWC, PIECE)
    missing = [(0, PIECE - length) for length in piece_HWC.shape[:2]]
    piece_HWC = np.pad(piece_HWC, (*missing, (0, 0)), "symmetric")
    alpha_HW = raster.pixels_HWC[:, :, 3]
    clear, partly = (
        (float((alpha_HW == 0).mean()), float(((alpha_HW > 0) & (alpha_HW < 255)).mean()))
        if raster.transparent
        else (0.0, 0.0)
    )
    facts = [
        math.log2(width), math.log2(height), math.log2(width * height),
        math.log2(max(width, height) / min(width, height)),
        max(0.0, math.log2(max(width, height) / PIECE)), clear, partly, *patches.patches(pixels_HWC),
    ]  # fmt: skip
    return (
        np.ascontiguousarray(whole_HWC.transpose(2, 0, 1)), np.ascontiguousarray(piece_HWC.transpose(2, 0, 1)),
        np.array(facts, np.float32),
    )  # fmt: skip
