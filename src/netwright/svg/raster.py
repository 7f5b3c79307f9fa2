"""Raster: an image file as pixels, opened with care; and the checks that refuse what cannot be one.

    image = open_raster("logo.png")       # image.pixels_HWC, uint8, RGBA

What Pillow cannot read, what is cut short, what is larger than `most` pixels (checked before a pixel is decoded) and
what is an SVG already is refused with one sentence. Of an animation the first picture is taken, of 16 bits the upper
8; `notes` says so.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.error import UserError

PIXELS = 64_000_000
"""The most pixels of an image; VTracer takes hours and gigabytes beyond."""
BYTES = 256 << 20
"""The largest file."""
SMALLEST = 8
"""The smallest side, in pixels: a window of the similarity has seven."""
TILE = 64
"""Side of a tile by which a large image is sampled."""
NEXT = "give a PNG, JPEG, WebP, GIF, BMP or TIFF image"


@dataclass(frozen=True, eq=False)
class Raster:
    """An image: pixels_HWC uint8 with four channels, the last one opacity; where it came from; what was changed."""

    pixels_HWC: NDArray[np.uint8]
    name: str = "image"
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels_HWC.shape[1], self.pixels_HWC.shape[0]

    @cached_property
    def transparent(self) -> bool:
        """Whether any pixel is not opaque."""
        return _clear(self.pixels_HWC)

    @cached_property
    def on_white_HWC(self) -> NDArray[np.uint8]:  # noqa: N802  a suffix of shape
        """The image on a white page, uint8 with three channels: what is compared."""
        return flattened(self.pixels_HWC)

    @cached_property
    def digest(self) -> str:
        """sha256 of size and pixels."""
        return hashlib.sha256(repr(self.pixels_HWC.shape).encode() + self.pixels_HWC.tobytes()).hexdigest()


def flattened(pixels_HWC: NDArray[np.uint8], page: int = 255) -> NDArray[np.uint8]:
    """RGBA pixels on a page of one grey; RGB as they are."""
    if pixels_HWC.shape[2] == 3 or not _clear(pixels_HWC):
        page_HWC = np.empty((*pixels_HWC.shape[:2], 3), np.uint8)
        for channel in range(3):  # each by itself: a quarter of the time
            page_HWC[:, :, channel] = pixels_HWC[:, :, channel]
        return page_HWC
    alpha_HW1 = pixels_HWC[:, :, 3:].astype(np.uint32)
    return ((pixels_HWC[:, :, :3] * alpha_HW1 + page * (255 - alpha_HW1) + 127) // 255).astype(np.uint8)


def sampled(pixels_HWC: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """An image; of a side longer than `most`, a multiple of TILE, so many pixels in evenly spread tiles.

    They begin at multiples of 8, so that JPEG's block edges stay where they are.
    """
    rows, columns = (_tiles(length, most) for length in pixels_HWC.shape[:2])
    return np.concatenate([np.concatenate([pixels_HWC[y, x] for x in columns], 1) for y in rows])


def _tiles(length: int, most: int) -> list[slice]:
    if length <= most:
        return [slice(0, length)]
    starts = np.linspace(0, length - TILE, most // TILE) // 8 * 8
    return [slice(int(start), int(start) + TILE) for start in starts]


def _clear(pixels_HWC: NDArray[np.uint8]) -> bool:
    """Whether any of four channels' pixels is not opaque. Read as numbers of four bytes: a fifth of the time."""
    words_HW = np.ascontiguousarray(pixels_HWC).view("<u4")[..., 0]
    return bool((words_HW < 0xFF000000).any())


def from_pixels(pixels: NDArray[Any], name: str = "image") -> Raster:
    """A raster of an array: uint8, (H, W), (H, W, 3) or (H, W, 4). Raises UserError."""
    allowed = f"uint8 of shape (H, W), (H, W, 3) or (H, W, 4), at least {SMALLEST} pixels high and wide"
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise UserError("image", f"{pixels.dtype} of shape {pixels.shape}", allowed, NEXT)
    if min(pixels.shape[:2]) < SMALLEST or pixels.shape[0] * pixels.shape[1] > PIXELS:
        raise UserError("image", f"{pixels.shape[1]} x {pixels.shape[0]} pixels", allowed, NEXT)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, 2)
    if pixels.shape[2] == 3:
        pixels = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], 2)
    return Raster(np.ascontiguousarray(pixels), name)


def open_raster(path: str | Path, most: int = PIXELS) -> Raster:
    """An image file. Raises UserError that names the file and what is wrong with it."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise UserError("image", str(path), "is a folder: an image is one file", f"{NEXT}, or --folder {path}")
        if size > BYTES:
            raise UserError("image", str(path), f"has {size >> 20} MiB: at most {BYTES >> 20} are read", NEXT)
        content = path.read_bytes()
    except OSError as fault:
        raise UserError("image", str(path), f"cannot be read ({fault.strerror})", NEXT) from None
    return read_raster(content, path.name, most, shown=str(path))


def read_raster(content: bytes, name: str = "image", most: int = PIXELS, shown: str | None = None) -> Raster:
    """An image file's bytes. Raises UserError as `open_raster` does, naming it `shown`."""
    import io

    from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

    shown = shown or name
    if not content:
        raise UserError("image", shown, "is empty", NEXT)
    start = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--")):
        raise UserError("image", shown, "is an SVG or XML file already: there is nothing to trace", NEXT)
    notes = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as file:
                width, height = file.size
                if width * height > most:
                    raise UserError(
                        "image", shown, f"has {width} x {height} pixels: at most {most:,} are traced",
                        "make it smaller, or raise --most-pixels",
                    )  # fmt: skip
                if min(width, height) < SMALLEST:
                    least = f"has {width} x {height} pixels: at least {SMALLEST} x {SMALLEST} are needed"
                    raise UserError("image", shown, least, NEXT)
                pictures = getattr(file, "n_frames", 1)
                if pictures > 1:
                    notes.append(f"animated: the first of {pictures} pictures was taken")
                    file.seek(0)
                ImageFile.LOAD_TRUNCATED_IMAGES = False
                file.load()
                if file.mode.startswith(("I", "F")):
                    notes.append("more than 8 bits a channel: the upper 8 were taken")
                    picture = Image.fromarray(_eight_bits(np.asarray(file)))
                elif file.mode == "CMYK":
                    notes.append("CMYK: converted without its colour profile")
                    picture = file.convert("RGB")
                else:
                    picture = file
                if file.getexif().get(0x0112, 1) != 1:
                    notes.append("turned as its EXIF orientation says")
                    picture = ImageOps.exif_transpose(picture)
                pixels_HWC = np.array(picture.convert("RGBA"), np.uint8)
    except UserError:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, which stands before ours
        raise UserError(
            "image", shown, f"has too many pixels: at most {most:,} are traced", "make it smaller"
        ) from None
    except UnidentifiedImageError:
        raise UserError("image", shown, "is no image that can be read", NEXT) from None
    except MemoryError:
        raise UserError("image", shown, "does not fit into memory", "make it smaller") from None
    except Exception as fault:  # decoders raise what they like on damaged files
        why = str(fault) or type(fault).__name__
        raise UserError("image", shown, f"is damaged or cut short ({why[:160]})", NEXT) from None
    return Raster(pixels_HWC, name, tuple(notes))


def smaller(raster: Raster, pixels: int, side: int | None = None) -> Raster:
    """An image with at most so many pixels, and its longest side at most `side`; a note says what was done."""
    from PIL import Image

    width, height = raster.size
    share = min(1.0, (pixels / (width * height)) ** 0.5, (side or max(width, height)) / max(width, height))
    if share == 1.0:
        return raster
    size = max(SMALLEST, int(width * share)), max(SMALLEST, int(height * share))
    picture = Image.fromarray(raster.pixels_HWC, "RGBA").resize(size, Image.Resampling.LANCZOS)
    note = f"made smaller before tracing: {width} x {height} to {size[0]} x {size[1]} pixels"
    return Raster(np.array(picture, np.uint8), raster.name, (*raster.notes, note))


FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "TGA", "AVIF")
"""What is read; PostScript and other formats that are programs are not."""


def _eight_bits(values_HW: NDArray[Any]) -> NDArray[np.uint8]:
    """16 bits to 8; what is wider, or a float, is spread from its least to its greatest value."""
    if values_HW.dtype == np.uint16 or (
        values_HW.dtype.kind == "i" and 0 <= values_HW.min() <= values_HW.max() < 65536
    ):
        return (values_HW.astype(np.uint32) // 257).astype(np.uint8)
    low, high = np.nanmin(values_HW), np.nanmax(values_HW)
    spread = np.nan_to_num((values_HW - low) / max(float(high - low), 1e-12))
    eight: NDArray[np.uint8] = (spread.clip(0, 1) * 255).astype(np.uint8)
    return eight
