"""SVG to pixels: by Skia, fast, for measuring; by resvg, apart from it, to verify what is delivered.

Only what this package traced itself goes in here: an SVG from elsewhere goes through `foreign.checked` first.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from netwright.core.table import extra


class RenderError(Exception):
    """The renderer could not draw this SVG."""


def skia(svg: str, width: int, height: int, page: int = 255) -> NDArray[np.uint8]:
    """An SVG drawn into width x height pixels on a page of one grey: uint8 (height, width, 3). Raises RenderError."""
    return skia_part(svg, (width, height), (0, 0, width, height), 1, page)


def skia_part(
    svg: str, size: tuple[int, int], part: tuple[int, int, int, int], times: int, page: int = 255
) -> NDArray[np.uint8]:
    """A part (left, top, width, height) of an SVG that is drawn `size` wide and high, magnified. Raises RenderError."""
    import re

    library = extra("skia", "rendering")
    stream = library.MemoryStream.MakeCopy(svg.encode())
    document = library.SVGDOM.MakeFromStream(stream)
    if document is None:
        raise RenderError("Skia reads no SVG here")
    own = document.containerSize()
    if own.width() <= 0 or own.height() <= 0:
        found = re.search(r'<svg[^>]*\swidth="([\d.]+)[^"]*"[^>]*\sheight="([\d.]+)', svg)
        if not found:
            raise RenderError("the SVG has no size")
        own_width, own_height = float(found[1]), float(found[2])
    else:
        own_width, own_height = own.width(), own.height()
    left, top, width, height = part
    pixels_HWC = np.empty((height * times, width * times, 4), np.uint8)
    canvas = library.Canvas(pixels_HWC, colorType=library.kRGBA_8888_ColorType, alphaType=library.kUnpremul_AlphaType)
    canvas.clear(library.Color(page, page, page))
    canvas.scale(times, times)
    canvas.translate(-left, -top)
    canvas.scale(size[0] / own_width, size[1] / own_height)
    document.render(canvas)
    return np.ascontiguousarray(pixels_HWC[:, :, :3])


def resvg(svg: str, width: int, height: int, page: int = 255) -> NDArray[np.uint8]:
    """As `skia`, drawn by resvg."""
    from PIL import Image

    library = extra("resvg_py", "verifying")
    try:
        png = library.svg_to_bytes(
            svg_string=svg, width=width, height=height, background=f"#{page:02x}{page:02x}{page:02x}",
            skip_system_fonts=True,
        )  # fmt: skip
    except ValueError as fault:
        raise RenderError(f"resvg reads no SVG here: {fault}") from None
    picture = Image.open(io.BytesIO(bytes(png))).convert("RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height))
    return np.asarray(picture)
