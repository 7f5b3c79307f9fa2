"""Views: what the predictor sees of an image, whatever its size: the whole, small, and pieces at its own resolution."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from netwright.core.table import extra
from netwright.svg.raster import Raster

WHOLE = 128
"""Side of the small picture, in pixels."""
PIECE = 192
"""Side of the picture of pieces."""
TILE = 64
"""Side of a piece. A multiple of 8, so that JPEG's block edges stay where they are looked for."""
FACTS = ("log width", "log height", "log area", "log aspect", "log shrink", "clear", "partly clear")


def views(raster: Raster) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """The small whole (3, WHOLE, WHOLE), the pieces (3, PIECE, PIECE), both uint8, and FACTS of the image.

    The whole is pressed into a square; of an image larger than PIECE the second has a grid of TILE x TILE pieces, one
    that is smaller is mirrored until it fills it.
    """
    cv2 = extra("cv2", "predicting tracings")
    pixels_HWC = raster.on_white_HWC
    height, width = pixels_HWC.shape[:2]
    shrinks = height * width > WHOLE * WHOLE
    whole_HWC = cv2.resize(pixels_HWC, (WHOLE, WHOLE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    rows, columns = _places(height), _places(width)
    piece_HWC = pixels_HWC[rows[:, None], columns[None, :]]
    alpha_HW = raster.pixels_HWC[:, :, 3]
    clear, partly = (
        (float((alpha_HW == 0).mean()), float(((alpha_HW > 0) & (alpha_HW < 255)).mean()))
        if raster.transparent
        else (0.0, 0.0)
    )
    facts = [
        math.log2(width), math.log2(height), math.log2(width * height),
        math.log2(max(width, height) / min(width, height)),
        max(0.0, math.log2(max(width, height) / PIECE)), clear, partly,
    ]  # fmt: skip
    return (
        np.ascontiguousarray(whole_HWC.transpose(2, 0, 1)), np.ascontiguousarray(piece_HWC.transpose(2, 0, 1)),
        np.array(facts, np.float32),
    )  # fmt: skip


def _places(length: int) -> NDArray[np.int64]:
    """Which pixels along one side the pieces are made of, PIECE of them."""
    if length <= PIECE:
        at = np.arange(PIECE) % (2 * length)
        places = np.minimum(at, 2 * length - 1 - at)
    else:
        starts = np.linspace(0, length - TILE, PIECE // TILE) // 8 * 8
        places = np.minimum((starts[:, None] + np.arange(TILE)).ravel(), length - 1)
    return places.astype(np.int64)
