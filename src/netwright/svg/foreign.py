"""An SVG from elsewhere, made safe before it is drawn.

    picture_HWC = draw(checked(text), 256, 256)       # RGBA

What is kept is on a list: shapes, gradients, masks, filters, text, and links to places within the same file. Scripts,
styles, pictures within, links out and event handlers are dropped. A document type (and with it every entity), another
encoding than UTF-8, what is too large or too deep, and `use` that multiplies into millions is refused.
"""

from __future__ import annotations

import io
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from netwright.core.table import extra

BYTES = 2 << 20
ELEMENTS = 20_000
"""The most elements, `use` followed."""
DEPTH = 64
SIDE = 8192
"""The most pixels of a side when it is drawn."""

SVG = "http://www.w3.org/2000/svg"
LINK = "{http://www.w3.org/1999/xlink}href"
KEPT = frozenset(
    {
        "svg", "g", "defs", "symbol", "use", "title", "desc",
        "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan",
        "linearGradient", "radialGradient", "stop", "pattern", "clipPath", "mask", "marker", "filter",
        "feBlend", "feColorMatrix", "feComponentTransfer", "feComposite", "feDropShadow", "feFlood", "feFuncA",
        "feFuncB", "feFuncG", "feFuncR", "feGaussianBlur", "feMerge", "feMergeNode", "feMorphology", "feOffset",
        "feTile",
    }
)  # fmt: skip
"""Elements that are kept; all others are dropped with what is in them."""

_INSIDE = re.compile(r"#[^\s\"'()<>]+")
_URL = re.compile(r"url\(\s*(['\"]?)(.*?)\1\s*\)", re.IGNORECASE)


class ForeignError(Exception):
    """This SVG is not drawn; the message says why."""


def checked(svg: str | bytes) -> str:
    """The SVG with only what is safe to draw. Raises ForeignError."""
    content = svg.encode("utf-8", "surrogatepass") if isinstance(svg, str) else svg
    if len(content) > BYTES:
        raise ForeignError(f"{len(content):,} bytes: at most {BYTES:,} are read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ForeignError("is no UTF-8 text") from None
    if "<!DOCTYPE" in text.upper() or "<!ENTITY" in text.upper() or "\0" in text:
        raise ForeignError("has a document type or entities")
    root = _parsed(text)
    if root.tag != f"{{{SVG}}}svg":
        raise ForeignError("is no SVG")
    _clean(root)
    _bounded(root)
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", LINK[1:].partition("}")[0])
    return ET.tostring(root, encoding="unicode")


def draw(svg: str, width: int, height: int) -> NDArray[np.uint8]:
    """A checked SVG in width x height pixels, drawn by resvg: uint8 (height, width, 4), not premultiplied.

    Raises ForeignError when it cannot be drawn.
    """
    from PIL import Image

    if not 0 < width <= SIDE or not 0 < height <= SIDE:
        raise ForeignError(f"{width} x {height} pixels: a side has 1 to {SIDE}")
    library = extra("resvg_py", "drawing icons")
    try:
        png = library.svg_to_bytes(svg_string=svg, width=width, height=height, skip_system_fonts=True)
        with Image.open(io.BytesIO(bytes(png)), formats=["PNG"]) as picture:
            drawn = picture.convert("RGBA")
    except (ValueError, OSError) as fault:
        raise ForeignError(f"resvg does not draw it: {fault}") from None
    if drawn.size != (width, height):  # it keeps the drawing's proportions
        page = Image.new("RGBA", (width, height))
        page.paste(drawn.crop((0, 0, width, height)), ((width - drawn.width) // 2, (height - drawn.height) // 2))
        drawn = page
    return np.array(drawn)


def _parsed(text: str) -> ET.Element:
    depth = count = 0
    root: ET.Element | None = None
    try:
        for event, element in ET.iterparse(io.StringIO(text), ("start", "end")):
            root = element if root is None else root
            depth += 1 if event == "start" else -1
            count += event == "start"
            if depth > DEPTH:
                raise ForeignError(f"is nested deeper than {DEPTH}")
            if count > ELEMENTS:
                raise ForeignError(f"has more than {ELEMENTS:,} elements")
    except ET.ParseError as fault:
        raise ForeignError(f"is no XML: {fault}") from None
    if root is None:
        raise ForeignError("is empty")
    return root


def _clean(element: ET.Element) -> None:
    for name, value in list(element.attrib.items()):
        if not _safe(name, value):
            del element.attrib[name]
    for child in list(element):
        space, _, tag = child.tag.rpartition("}") if isinstance(child.tag, str) else ("", "", "")
        if space == f"{{{SVG}" and tag in KEPT:
            _clean(child)
        else:
            element.remove(child)


def _safe(name: str, value: str) -> bool:
    plain = name.rpartition("}")[2].lower()
    if plain.startswith("on") or (name.startswith("{") and name != LINK):
        return False
    if plain in ("href", "src"):
        return bool(_INSIDE.fullmatch(value.strip()))
    if "\\" in value or "@import" in value.lower() or "javascript:" in value.lower():
        return False
    links = _URL.findall(value)
    return value.lower().count("url(") == len(links) and all(_INSIDE.fullmatch(link.strip()) for _, link in links)


def _links(element: ET.Element) -> Iterator[str]:
    for name, value in element.attrib.items():
        if name in ("href", LINK):
            yield value.strip()[1:]
        else:
            yield from (link.strip()[1:] for _, link in _URL.findall(value))


def _bounded(root: ET.Element) -> None:
    """Refuse what `use`, patterns and masks multiply beyond ELEMENTS, and what refers to itself."""
    known = {element.get("id"): element for element in root.iter() if element.get("id")}
    costs: dict[int, float] = {}
    open_: set[int] = set()

    def cost(element: ET.Element, level: int = 0) -> float:
        if id(element) in costs:
            return costs[id(element)]
        if id(element) in open_ or level > 4 * DEPTH:
            return math.inf
        open_.add(id(element))
        total = 1.0 + sum(cost(child, level + 1) for child in element)
        total += sum(cost(known[link], level + 1) for link in _links(element) if link in known)
        open_.discard(id(element))
        costs[id(element)] = total
        return total

    if cost(root) > ELEMENTS:
        raise ForeignError(f"draws more than {ELEMENTS:,} elements, or refers to itself")
