"""Pictures of a data set as people have them: icons of many sizes, colours and pages, crops of photographs.

Some are spoilt.

    picture = make(original, numpy.random.default_rng(0))      # Picture(pixels_HWC=..., change="jpeg 60")
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netwright.svg import foreign
from netwright.svg.collection import Kind, Original
from netwright.svg.degrade import degraded
from netwright.svg.raster import flattened

SIDES: Mapping[Kind, Mapping[int, float]] = {
    "icon": {128: 0.22, 192: 0.28, 256: 0.29, 384: 0.10, 512: 0.08, 768: 0.02, 1024: 0.01},
    "drawing": {128: 0.30, 192: 0.30, 256: 0.30, 384: 0.06, 512: 0.04},
    "photo": {128: 0.50, 192: 0.30, 256: 0.16, 384: 0.03, 512: 0.01},
}
"""How often the longer side has so many pixels; photographs take longest to trace, and are smaller."""
SPOILT = 0.25
"""Share of pictures that are degraded."""
SHAPES = {1.0: 0.6, 4 / 3: 0.16, 3 / 4: 0.12, 16 / 9: 0.12}
"""Width over height of a crop, and how often."""
LEAST = 0.004
"""The least share of pixels that differ from the page: a picture has to show something."""


class EmptyError(Exception):
    """This picture shows nothing, or cannot be made."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels uint8 (H, W, 4), and what was done to them."""

    pixels_HWC: NDArray[np.uint8]
    change: str = ""


def make(original: Original, generator: np.random.Generator) -> Picture:
    """A picture of an original. Raises EmptyError, ForeignError, OSError for one that cannot be made."""
    side = _pick(SIDES[original.kind], generator)
    pixels_HWC = _icon(original, int(side), generator) if original.svg else _crop(original, int(side), generator)
    change = ""
    if generator.random() < SPOILT:
        pixels_HWC, change = degraded(pixels_HWC, generator)
    if not _shows(pixels_HWC):
        raise EmptyError("it shows nothing")
    return Picture(pixels_HWC, change)


def _pick(shares: Mapping[int, float] | Mapping[float, float], generator: np.random.Generator) -> float:
    weights = np.array(list(shares.values()))
    return float(generator.choice(list(shares), p=weights / weights.sum()))


def _shows(pixels_HWC: NDArray[np.uint8]) -> bool:
    flat = flattened(pixels_HWC).astype(np.int16)
    usual = np.median(flat.reshape(-1, 3), axis=0)
    return bool((np.abs(flat - usual).max(2) > 24).mean() >= LEAST)


def _colour(generator: np.random.Generator, vivid: bool) -> tuple[int, int, int]:
    hue = generator.random()
    if vivid:
        red, green, blue = colorsys.hsv_to_rgb(hue, generator.uniform(0.45, 1), generator.uniform(0.4, 0.95))
    else:
        red, green, blue = colorsys.hsv_to_rgb(hue, generator.uniform(0.04, 0.3), generator.uniform(0.85, 1))
    return round(255 * red), round(255 * green), round(255 * blue)


def _icon(original: Original, side: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    grey = int(generator.integers(0, 70))
    ink = (grey, grey, grey) if generator.random() < 0.35 else _colour(generator, vivid=True)
    text = original.svg.replace("currentColor", "#{:02x}{:02x}{:02x}".format(*ink))
    box = re.search(r'viewBox="\s*\S+[\s,]+\S+[\s,]+([\d.]+)[\s,]+([\d.]+)', text)
    shape = float(box[1]) / float(box[2]) if box and float(box[2]) else 1.0
    if not 1 / 6 <= shape <= 6:
        raise EmptyError(f"is {shape:.1f} times as wide as high")
    margin = generator.uniform(0.02, 0.14) if generator.random() < 0.5 else 0.0
    width, height = (side, round(side / shape)) if shape >= 1 else (round(side * shape), side)
    inner = max(8, round(width * (1 - 2 * margin))), max(8, round(height * (1 - 2 * margin)))
    drawn = foreign.draw(foreign.checked(text), *inner)
    icon_HWC = np.zeros((height, width, 4), np.uint8)
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    icon_HWC[top : top + inner[1], left : left + inner[0]] = drawn
    return _paged(icon_HWC, generator)


def _paged(pixels_HWC: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """A transparent picture left so, or on a page on which it can be seen."""
    draw = generator.random()
    pages = [
        None if draw < 0.12 else (255, 255, 255) if draw < 0.68 else
        _colour(generator, vivid=generator.random() < 0.4) if draw < 0.88 else (int(generator.integers(8, 60)),) * 3,
        (255, 255, 255), (28, 30, 36), _colour(generator, vivid=False),
    ]  # fmt: skip
    for page in pages:
        paged = pixels_HWC if page is None else _on(pixels_HWC, page)
        if _shows(paged):
            return paged
    raise EmptyError("it shows nothing on any page")


def _on(pixels_HWC: NDArray[np.uint8], page: tuple[int, ...]) -> NDArray[np.uint8]:
    alpha_HW1 = pixels_HWC[:, :, 3:].astype(np.float32) / 255
    mixed = pixels_HWC[:, :, :3] * alpha_HW1 + np.array(page, np.float32) * (1 - alpha_HW1)
    full = np.full(alpha_HW1.shape, 255, np.uint8)
    return np.concatenate([np.rint(mixed).astype(np.uint8), full], 2)


def _crop(original: Original, side: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(original.file) as file:
        file.draft("RGB", (1600, 1600))
        picture = file.convert("RGBA")
    small = np.asarray(picture.resize((16, 16), Image.Resampling.BOX))
    if (small[:, :, 3] < 250).any():  # cut out of its page already: taken whole
        shape = picture.width / picture.height
        if not 1 / 6 <= shape <= 6:
            raise EmptyError(f"is {shape:.1f} times as wide as high")
        size = (side, max(8, round(side / shape))) if shape >= 1 else (max(8, round(side * shape)), side)
        return _paged(np.array(picture.resize(size, Image.Resampling.LANCZOS)), generator)
    shape = _pick(SHAPES, generator)
    width, height = (side, round(side / shape)) if shape >= 1 else (round(side * shape), side)
    most = min(picture.width / width, picture.height / height)
    for _ in range(6):  # a crop of bare sky shows nothing; another is tried
        scale = most * float(generator.uniform(0.35, 1.0))
        wide, high = min(picture.width, width * scale), min(picture.height, height * scale)
        left = float(generator.uniform(0, picture.width - wide))
        top = float(generator.uniform(0, picture.height - high))
        box = (left, top, left + wide, top + high)
        pixels_HWC = np.array(picture.resize((width, height), Image.Resampling.LANCZOS, box))
        if _shows(pixels_HWC):
            return pixels_HWC
    raise EmptyError("no crop shows anything")
