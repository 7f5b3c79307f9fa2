"""Where pictures come from: families of icons, photographs and drawings, each a pinned package under a free licence.

    family = families()["noto"]
    chosen = originals(family, fetch(family.source), 42, seed=0)    # Original(name="1f600", group=..., svg=...)

`families.json` names for each the package of npm, PyPI or Debian, its licence, the members taken and their digest.
The pictures are fetched by whoever builds a data set, and no package carries them on. To add a family, write its line
and pin `seal` (`sources.seal` of the folder) and the archive's own sha256.

A group is what must not stand in two splits: a photograph with all its crops, or an icon's name without its style, for
all families together, since "react" is one logo in each of six sets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from netwright.core.error import UserError, did_you_mean
from netwright.data.archives import Take
from netwright.data.sources import Debian, Npm, Place, Pypi, Source

Kind = Literal["icon", "photo", "drawing"]
RESERVE = "reserve"
"""The word that stands for all families in reserve."""
TABLE = Path(__file__).with_name("families.json")


@dataclass(frozen=True)
class Family:
    """One set of pictures in one style, or one source of photographs. `count` is how many of 3,200 images come from
    it; `one_colour` says that its icons have no colour of their own; a `test_only` family is share-alike; a family in
    `reserve` is in no data set unless it is asked for: a predictor is judged on it that has seen none of its kind."""

    name: str
    kind: Kind
    count: int
    source: Source
    one_colour: bool = False
    test_only: bool = False
    reserve: bool = False

    @property
    def item(self) -> str:
        """The package, as the place calls it."""
        return str(self.source.places[0])


@dataclass(frozen=True)
class Original:
    """A picture before it is drawn: the text of an icon, or the path of a file."""

    family: str
    name: str
    group: str
    kind: Kind
    svg: str = ""
    file: str = ""


@cache
def families() -> Mapping[str, Family]:
    """All families by name."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return {name: _family(name, about) for name, about in table.items()}


def select(names: tuple[str, ...]) -> list[Family]:
    """The families of these names, those in reserve for RESERVE, the others for no name. Raises UserError with the
    nearest name."""
    known = families()
    for name in names:
        if name not in known and name != RESERVE:
            raise UserError("families", name, did_you_mean(name, [*known, RESERVE]), "netwright svg data --dry-run")
    reserve = {name: family for name, family in known.items() if family.reserve}
    if not names:
        return [family for name, family in known.items() if name not in reserve]
    named = [known[name] for name in names if name != RESERVE]
    return list(dict.fromkeys([*named, *(reserve.values() if RESERVE in names else ())]))


def _family(name: str, about: Mapping[str, Any]) -> Family:
    source = Source(
        name=f"svg-{name}", title=about["title"], licence=about["licence"],
        takes=tuple(Take(path, file) for path, file in about["takes"]),
        sha256=about["seal"], size=about["bytes"], places=(_place(*about["place"]),),
    )  # fmt: skip
    marks = {mark: about.get(mark, False) for mark in ("one_colour", "test_only", "reserve")}
    return Family(name, about["kind"], about["count"], source, **marks)


def _place(kind: str, package: str, what: str, *pins: Any) -> Place:
    match kind:
        case "npm":
            return Npm(package, what, *pins)
        case "pypi":
            return Pypi(package, what, *pins)
    return Debian(package, what, *pins)


def originals(family: Family, folder: Path, count: int, seed: int) -> list[Original]:
    """`count` pictures of a family, drawn at random: of icons one of a group as long as there are groups, of
    photographs every file as often as any other."""
    generator = np.random.default_rng([seed, *family.name.encode()])
    if family.kind == "icon":
        found = icons(family, folder)
        order = generator.permutation(len(found))
        groups = {found[at].group: at for at in order}
        first = list(groups.values())
        taken = set(first)
        chosen = [found[at] for at in [*first, *(at for at in order if at not in taken)]]
        return chosen[:count]
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return [_photograph(family, files[at % len(files)]) for at in range(count)]


def _photograph(family: Family, path: Path) -> Original:
    return Original(family.name, path.name, f"{family.name}/{path.name}", family.kind, file=str(path))


def icons(family: Family, folder: Path) -> list[Original]:
    """All icons of a family: of an Iconify set, or of a folder of SVG files."""
    table = folder / "icons.json"
    if not table.is_file():
        texts = {path.stem: path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.glob("*.svg"))}
    else:
        whole = json.loads(table.read_text(encoding="utf-8"))
        texts = {name: _iconify(icon, whole) for name, icon in whole["icons"].items() if not icon.get("hidden")}
    return [Original(family.name, name, bare(name), "icon", svg=text) for name, text in texts.items()]


def _iconify(icon: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    """An icon of an Iconify set as SVG; its size stands with it, or with the set, or is 16."""
    left, top = (icon.get(side, whole.get(side, 0)) for side in ("left", "top"))
    width, height = (icon.get(side, whole.get(side, 16)) for side in ("width", "height"))
    head = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {head} viewBox="{left} {top} {width} {height}" width="{width}" height="{height}">{icon["body"]}</svg>'


_STYLE = re.compile(
    r"[-_](outlined?|outlines|line|linear|fill|filled|solid|bold|broken|duotone|thin|light|regular|twotone|sharp|round|"
    r"rounded|dark|alt|icon|wordmark|plain|original|color|colored|flat|variant2?|mono|skin|tone|medium|off|inverse|"
    r"4x3|1x1|16|20|24|28|32|48)$"
)


def bare(name: str) -> str:
    """An icon's name without the words of its style: `react-original-wordmark` is `react`."""
    name = name.lower()
    while (shorter := _STYLE.sub("", name)) != name:
        name = shorter
    return name
