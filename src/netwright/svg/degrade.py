"""What happens to pictures before they are traced: JPEG, blur, resampling, noise, few colours, a page of text around.

    pixels_HWC, change = degraded(pixels_HWC, numpy.random.default_rng(0))     # "jpeg 60"

Pixels are uint8, RGBA. What JPEG or a page leave no transparency in is put on white first.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.svg.raster import flattened

Pixels = NDArray[np.uint8]


def degraded(pixels_HWC: Pixels, generator: np.random.Generator, kind: str | None = None) -> tuple[Pixels, str]:
    """One change of a kind, or of a kind drawn; the pixels and what was done, in words."""
    kind = kind or str(generator.choice(list(CHANGES), p=list(SHARES.values())))
    return CHANGES[kind](pixels_HWC, generator)


def jpeg(pixels_HWC: Pixels, generator: np.random.Generator) -> tuple[Pixels, str]:
    """Saved as a JPEG of quality 30 to 92."""
    from PIL import Image

    quality = int(generator.integers(30, 93))
    file = io.BytesIO()
    Image.fromarray(flattened(pixels_HWC)).save(file, "JPEG", quality=quality)
    return _opaque(np.asarray(Image.open(file))), f"jpeg {quality}"


def blur(pixels_HWC: Pixels, generator: np.random.Generator) -> tuple[Pixels, str]:
    """A Gaussian of 0.4 to 1.8 pixels."""
    from PIL import Image, ImageFilter

    radius = round(float(generator.uniform(0.4, 1.8)), 1)
    picture = Image.fromarray(pixels_HWC, "RGBA").convert("RGBa").filter(ImageFilter.GaussianBlur(radius))
    return np.array(picture.convert("RGBA")), f"blur {radius:g}"


def resample(pixels_HWC: Pixels, generator: np.random.Generator) -> tuple[Pixels, str]:
    """Made smaller by 0.3 to 0.8 and large again, smoothly or with visible pixels."""
    from PIL import Image

    share = round(float(generator.uniform(0.3, 0.8)), 2)
    way = [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST][generator.integers(3)]
    height, width = pixels_HWC.shape[:2]
    picture = Image.fromarray(pixels_HWC, "RGBA").convert("RGBa")
    small = picture.resize((max(8, round(share * width)), max(8, round(share * height))), Image.Resampling.BOX)
    large = np.array(small.resize((width, height), way).convert("RGBA"))
    return large, f"resample {share:g} {way.name.lower()}"


def noise(pixels_HWC: Pixels, generator: np.random.Generator) -> tuple[Pixels, str]:
    """Grey or coloured noise of 2 to 14 steps of 255."""
    sigma = round(float(generator.uniform(2, 14)), 1)
    shape = (*pixels_HWC.shape[:2], 1 if generator.random() < 0.5 else 3)
    changed = pixels_HWC.copy()
    noisy = pixels_HWC[:, :, :3] + generator.normal(0, sigma, shape)
    changed[:, :, :3] = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return changed, f"noise {sigma:g}"


def palette(pixels_HWC: Pixels, generator: np.random.Generator) -> tuple[Pixels, str]:
    """As a GIF of 8 to 64 colours, dithered or not."""
    from PIL import Image

    colours = int(2 ** generator.integers(3, 7))
    dither = Image.Dither.FLOYDSTEINBERG if generator.random() < 0.5 else Image.Dither.NONE
    picture = Image.fromarray(flattened(pixels_HWC))
    mapped = picture.quantize(palette=picture.quantize(colours), dither=dither)
    return _opaque(np.asarray(mapped.convert("RGB"))), f"palette {colours}{' dithered' if dither else ''}"


def screenshot(pixels_HWC: Pixels, generator: np.random.Generator) -> tuple[Pixels, str]:
    """The picture in a window of lines of text and bars, as on a screen; the size stays."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = pixels_HWC.shape[:2]
    dark = bool(generator.random() < 0.35)
    page, ink = ((32, 34, 40), (210, 214, 222)) if dark else ((255, 255, 255), (40, 44, 52))
    window = Image.new("RGB", (width, height), page)
    pen = ImageDraw.Draw(window)
    accent = tuple(int(v) for v in generator.integers(30, 226, 3))
    bar = max(6, height // 12)
    pen.rectangle((0, 0, width, bar), fill=accent)
    for at in range(3):
        pen.ellipse((4 + at * bar * 0.8, bar * 0.3, 4 + at * bar * 0.8 + bar * 0.4, bar * 0.7), fill=page)
    size = int(generator.integers(9, max(10, height // 12) + 1))
    font = ImageFont.load_default(size)
    share = float(generator.uniform(0.35, 0.6))
    inner_width, inner_height = max(8, int(width * share)), max(8, int(height * share))
    picture = Image.fromarray(pixels_HWC, "RGBA").resize((inner_width, inner_height), Image.Resampling.LANCZOS)
    left = 4 if generator.random() < 0.5 else width - inner_width - 4
    window.paste(picture, (left, bar + 4), picture)
    beside = inner_width + 10 if left == 4 else 6
    line = bar + 6
    while line < height - size:
        start = beside if line < bar + 8 + inner_height else 6
        pen.text((start, line), _words(generator), font=font, fill=accent if generator.random() < 0.12 else ink)
        line += int(size * 1.45)
    return _opaque(np.asarray(window)), f"screenshot{' dark' if dark else ''}"


CHANGES: Mapping[str, Callable[[Pixels, np.random.Generator], tuple[Pixels, str]]] = {
    "jpeg": jpeg, "blur": blur, "resample": resample, "noise": noise, "palette": palette, "screenshot": screenshot,
}  # fmt: skip
SHARES: Mapping[str, float] = {
    "jpeg": 0.34, "blur": 0.14, "resample": 0.2, "noise": 0.1, "palette": 0.1, "screenshot": 0.12,
}  # fmt: skip
"""How often each is drawn."""

_SYLLABLES = (
    "ta", "ren", "lo", "mi", "ka", "se", "du", "por", "vin", "sta", "el", "or", "ne", "qui", "bra", "shi", "um", "al",
    "fo", "gre",
)  # fmt: skip


def _words(generator: np.random.Generator) -> str:
    count = int(generator.integers(2, 7))
    return " ".join("".join(generator.choice(_SYLLABLES, generator.integers(1, 4))) for _ in range(count)).capitalize()


def _opaque(pixels_HWC: NDArray[Any]) -> Pixels:
    full = np.full((*pixels_HWC.shape[:2], 1), 255, np.uint8)
    return np.concatenate([pixels_HWC[:, :, :3].astype(np.uint8), full], 2)
