"""One page about a batch of SVGs, or about one image's parameters: pictures, figures, tables; it needs no network.

    write(Path("traced.html"), done, failed, "netwright svg trace icons --report traced.html")

Only SVGs that were traced here are shown, in <img> from data, where no script runs; a policy in the page forbids any
but its own. Of large images a smaller copy is shown; at four times its size, the part that came out worst.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from netwright import __version__
from netwright.core import artifact, figure, page
from netwright.core.error import UserError
from netwright.core.measurement import readable
from netwright.svg import explain as explaining
from netwright.svg import figures, render, view
from netwright.svg.batch import Done, Failed
from netwright.svg.choose import Choice
from netwright.svg.likeness import WINDOW, Reference
from netwright.svg.raster import Raster, open_raster
from netwright.svg.tracer import version

Pixels = NDArray[np.uint8]
WIDEST = 640
"""Pixels of the longer side of a picture on the page."""
PART, TIMES = 96, 4
"""Pixels of the part that is magnified, and how many times."""
INLINE = 400_000
"""Bytes: a larger SVG is shown as pixels, so that the page opens on a phone."""
MOST = 40
"""Images that have a section of their own; all have a line in the table."""


@dataclass(frozen=True)
class Pictures:
    """Addresses of data: the image, its SVG and their difference, whole; and a part of each, magnified."""

    before: str
    after: str
    difference: str
    before_part: str
    after_part: str
    difference_part: str
    as_pixels: bool
    width: int
    part: int


def write(path: Path, done: Sequence[Done], failed: Sequence[Failed], command: str) -> None:
    """Write the page of a batch. Raises UserError where it cannot be written."""
    cards = []
    for at, one in enumerate(done[:MOST]):
        row = one.row
        plot = Markup(figure.svg_text(figures.front(row), f"likeness against bytes of {Path(row['image']).name}"))
        cards.append({"row": row, "at": at, "plot": plot, "pictures": _pictures_of(one)})
    thumbs = [_thumb(one) for one in done]
    rows = [one.row for one in done]
    _write(path, "report.html", rows=rows, cards=cards, thumbs=thumbs, failed=failed, command=command,
           total=view.total(rows), most=MOST)  # fmt: skip


def write_explained(path: Path, raster: Raster, choice: Choice, steps: Sequence[explaining.Step], command: str) -> None:
    """Write the page of one image's parameters."""
    effects = explaining.effects(steps)
    plot = Markup(figure.svg_text(figures.plane(steps, effects), "likeness against bytes, a line for each parameter"))
    told = [(one, explaining.sentence(one, steps[0].best)) for one in effects]
    _write(path, "explained.html", name=raster.name, size=raster.size, choice=choice, steps=steps, effects=told,
           here=steps[0].best, plot=plot, pictures=pictures(raster, choice.best.traced.svg),
           setting=steps[0].setting.plain(), command=command)  # fmt: skip


def _write(path: Path, template: str, **about: Any) -> None:
    made = page.templates("netwright.svg")
    made.filters.update(span=view.span, changed=view.changed, short=view.short, size=lambda one: readable(one, "B"))
    script = str(made.globals["script"]) + Path(__file__).with_name("templates").joinpath("report.js").read_text(
        "utf-8"
    )
    seal = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = made.get_template(template).render(
        **about, page_script=Markup(script), seal=seal, version=__version__, tracer=version()
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise artifact.disk_error(fault, path.parent) from fault
    artifact.replace_file(path, lambda draft: draft.write_text(text, encoding="utf-8", errors="replace"))


def _pictures_of(one: Done) -> Pictures | None:
    """Pictures of a finished image; None where its files cannot be read any more, or were changed."""
    try:
        content = one.job.target.read_bytes()
        if hashlib.sha256(content).hexdigest() != one.row["sha256"]:
            return None
        return pictures(open_raster(one.job.source), content.decode())
    except (OSError, ValueError, render.RenderError, UserError):
        return None


def pictures(raster: Raster, svg: str) -> Pictures:
    """An image beside its SVG, whole and magnified where they differ most. Raises RenderError."""
    width, height = raster.size
    before_HWC = raster.on_white_HWC
    after_HWC = render.skia(svg, width, height)
    scale = min(1.0, WIDEST / max(width, height))
    small = max(1, round(width * scale)), max(1, round(height * scale))
    left, top, side_x, side_y = worst(before_HWC, after_HWC)
    part = (slice(top, top + side_y), slice(left, left + side_x))
    large_HWC = render.skia_part(svg, raster.size, (left, top, side_x, side_y), TIMES)
    enlarged_HWC = _resized(np.ascontiguousarray(before_HWC[part]), (side_x * TIMES, side_y * TIMES))
    inline = len(svg.encode()) <= INLINE
    return Pictures(
        before=_data(_resized(before_HWC, small)),
        after=_svg(svg) if inline else _data(_resized(after_HWC, small)),
        difference=_data(_resized(heat(before_HWC, after_HWC), small)),
        before_part=_data(enlarged_HWC),
        after_part=_data(large_HWC),
        difference_part=_data(heat(enlarged_HWC, large_HWC)),
        as_pixels=not inline,
        width=small[0],
        part=side_x,
    )


def worst(before_HWC: Pixels, after_HWC: Pixels) -> tuple[int, int, int, int]:
    """Left, top, width and height of the square part, PART wide or less, in which two pictures are least alike."""
    import cv2

    height, width = before_HWC.shape[:2]
    side_x, side_y = min(PART, width), min(PART, height)
    lost_HW = 1 - Reference(before_HWC).map(after_HWC)
    window = (max(1, side_x - WINDOW + 1), max(1, side_y - WINDOW + 1))
    mean_HW = cv2.boxFilter(lost_HW, -1, window, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    mean_HW = mean_HW[: height - side_y + 1, : width - side_x + 1]
    top, left = np.unravel_index(int(np.argmax(mean_HW)), mean_HW.shape)
    return int(left), int(top), side_x, side_y


def heat(before_HWC: Pixels, after_HWC: Pixels) -> Pixels:
    """The difference as a picture: the image pale and grey, what differs in red, darker the more."""
    difference_HW = np.abs(before_HWC.astype(np.int16) - after_HWC).max(2) / 255.0
    grey_HW = 232 + before_HWC.mean(2) * (23 / 255)
    share_HW1 = np.minimum(1.0, np.sqrt(difference_HW) * 1.25)[:, :, None]
    share_HW1 = np.where(difference_HW[:, :, None] < 6 / 255, 0.0, share_HW1)
    red = np.array([176.0, 24.0, 43.0])
    mixed_HWC = grey_HW[:, :, None] * (1 - share_HW1) + red * share_HW1
    return np.asarray(mixed_HWC.round(), np.uint8)


def _resized(pixels_HWC: Pixels, size: tuple[int, int]) -> Pixels:
    from PIL import Image

    if (pixels_HWC.shape[1], pixels_HWC.shape[0]) == size:
        return pixels_HWC
    way = Image.Resampling.BICUBIC if size[0] > pixels_HWC.shape[1] else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(pixels_HWC).resize(size, way))


def _thumb(one: Done) -> str:
    """A small copy of the image for the table; nothing where it cannot be read any more."""
    try:
        raster = open_raster(one.job.source)
    except UserError:
        return ""
    scale = 64 / max(raster.size)
    small = max(1, round(raster.size[0] * scale)), max(1, round(raster.size[1] * scale))
    return _data(_resized(raster.on_white_HWC, small))


def _data(pixels_HWC: Pixels) -> str:
    """Pixels as an address of data: PNG, or WebP where that is much smaller."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels_HWC))
    png, webp = io.BytesIO(), io.BytesIO()
    picture.save(png, "PNG", optimize=True)
    if png.tell() > 120_000:
        picture.save(webp, "WEBP", quality=90)
        return f"data:image/webp;base64,{base64.b64encode(webp.getvalue()).decode()}"
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"


def _svg(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
