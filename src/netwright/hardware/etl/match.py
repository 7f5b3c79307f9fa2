"""Which device a source's name means: exactly, by its words, by a reviewed alias, or a proposal that nobody uses.

    Matcher(devices).match("GeForce RTX 3080 Laptop GPU", "NVIDIA")

A name is merged with a device when it is the same name, has the same key (`names.key`), or stands in
seed/aliases.csv, each row of which a person looked at. Everything else is its own device; where a known
one is near, the pair is proposed with a score and the words that differ, stored as not reviewed, and
changes nothing. This file does not know what devices are, only how they are called.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from netwright.hardware import catalog, names
from netwright.hardware.device import Device
from netwright.hardware.layers import Incomplete

SEED = Path(__file__).parents[1] / "seed" / "aliases.csv"
PROPOSED = 0.6
"""The least score that is worth a person's look."""
SAME_NAME, SAME_WORDS, REVIEWED = "the same name", "the same words", "a reviewed alias"
SCORES = {SAME_NAME: 1.0, SAME_WORDS: 0.98}
UNKNOWN = ("", "unknown")

MINOR = {"series", "design", "with", "edition", "oem", "ddr3", "ddr4", "gddr5", "gddr6", "ddr", "graphics", "radeon"}
MINOR |= {"3d", "pro", "rev", "agp", "pci", "pcie", "gt2", "gt1", "r", "mobile"}
"""Words of which one may be missing without the chip being another."""
BOARD = {"laptop", "max", "q", "sxm", "pcie", "mxm", "nvl", "oam", "m", "mobility"}


@dataclass(frozen=True)
class Match:
    """The device that a name means, how sure that is, and why."""

    key: str
    name: str
    manufacturer: str
    score: float
    reason: str
    how: str = ""
    """SAME_NAME, SAME_WORDS or REVIEWED; empty for a name that is new."""


class Matcher:
    """The names of all known devices: those that ship, and those given."""

    def __init__(self, devices: Iterable[tuple[str, str, str]]) -> None:
        """`devices`: key, name and maker of each device in the database."""
        self.devices: dict[str, tuple[str, str]] = {}
        self.makers: dict[str, list[str]] = {}
        for key, name, manufacturer in devices:
            self.add(key, name, manufacturer)
        self.by_number: dict[str, list[str]] | None = None

    def add(self, key: str, name: str, manufacturer: str) -> None:
        if key not in self.devices:
            self.devices[key] = name, manufacturer
            self.makers.setdefault(key.partition(":")[2], []).append(key)
            self.by_number = None

    def match(self, name: str, manufacturer: str, memory: float | None = None) -> Match:
        """The device that the name means; one of that very name where it is new.

        A name that is not the device's own is no match where another memory size (B) is stated.
        """
        shipped = self._shipped(name, manufacturer, memory)
        if shipped is not None:
            same = _same(shipped.name, shipped.manufacturer, name)
            alias = isinstance(shipped, Device) and names.plain(name) in map(names.plain, shipped.aliases)
            how = SAME_NAME if same else REVIEWED if alias else SAME_WORDS
            key = names.device_key(shipped.manufacturer, shipped.name)
            return Match(key, shipped.name, shipped.manufacturer, SCORES.get(how, 0.95), how, how)
        reviewed = _aliases().get(names.key(name))
        if reviewed is not None and _one_maker(reviewed.manufacturer, manufacturer):
            return reviewed
        keys = self.makers.get(names.key(name), [])
        keys = [key for key in keys if _one_maker(self.devices[key][1], manufacturer)]
        if len(keys) == 1:
            known, maker = self.devices[keys[0]]
            how = SAME_NAME if _same(known, maker, name) else SAME_WORDS
            return Match(keys[0], known, maker, SCORES[how], how, how)
        own = names.full(manufacturer, name) if manufacturer not in UNKNOWN else name
        return Match(names.device_key(manufacturer, name), own, manufacturer, 0.0, "")

    def _shipped(self, name: str, manufacturer: str, memory: float | None) -> Device | Incomplete | None:
        """The device of that name among those that ship, or of that name and memory size."""
        tried = [names.full(manufacturer, name) if manufacturer not in UNKNOWN else name, name]
        tried += [f"{name} {memory / 1e9:.0f}GB"] if memory else []
        for spelled in tried:
            found = catalog.shipped(spelled)
            if found is None or not _one_maker(found.manufacturer, manufacturer):
                continue
            other = isinstance(found, Device) and memory and not 0.9 < memory / found.memory < 1.1
            if not other or _same(found.name, found.manufacturer, name):
                return found
        return None

    def propose(self, name: str, manufacturer: str) -> Match | None:
        """The known device most like a name, for a person to look at; None where none is near.

        All numbers of three digits and more, the board (laptop, SXM, PCIe, Max-Q) and a stated memory size
        must agree; of other words, each that differs takes 0.1 off, minor ones 0.05.
        """
        if self.by_number is None:
            self.by_number = {}
            for key, (known, _) in self.devices.items():
                for number in _numbers(known):
                    self.by_number.setdefault(number, []).append(key)
        mine = set(names.words(name))
        best: Match | None = None
        for number in _numbers(name):
            for key in self.by_number.get(number, ()):
                known, maker = self.devices[key]
                if not _one_maker(maker, manufacturer):
                    continue
                theirs = set(names.words(known))
                score, reason = _score(mine, theirs)
                if score >= PROPOSED and (best is None or (score, known) > (best.score, best.name)):
                    best = Match(key, known, maker, score, reason)
        return best


def _same(known: str, maker: str, name: str) -> bool:
    """Whether two names are one but for capitals, spaces and the maker."""
    ours = names.plain(known)
    return names.plain(name) in (ours, ours.removeprefix(names.plain(maker)))


def _score(mine: set[str], theirs: set[str]) -> tuple[float, str]:
    differ = mine ^ theirs
    if {word for word in differ if re.search(r"\d{3,}", word)}:
        return 0.0, "another number"
    if differ & BOARD:
        return 0.0, "another board"
    sizes = [{word for word in words if re.fullmatch(r"\d+gb", word)} for words in (mine, theirs)]
    if sizes[0] and sizes[1] and sizes[0] != sizes[1]:
        return 0.0, "another memory size"
    minor = differ & MINOR | {word for word in differ if word.endswith("gb")}
    score = 0.95 - 0.05 * len(minor) - 0.1 * len(differ - minor)
    return round(score, 2), "differs in: " + " ".join(sorted(differ))


def _numbers(name: str) -> set[str]:
    """Numbers of three digits and more, by which names are compared at all: sizes are none."""
    told = (word for word in names.words(name) if not re.fullmatch(r"\d+[gm]b", word))
    return {number for word in told for number in re.findall(r"\d{3,}", word)}


def _one_maker(a: str, b: str) -> bool:
    family = {"ati": "amd", "habana": "intel", "amazon": "aws"}
    a, b = names.plain(a), names.plain(b)
    return a in UNKNOWN or b in UNKNOWN or family.get(a, a) == family.get(b, b)


@functools.cache
def _aliases() -> dict[str, Match]:
    """The table of aliases that were looked at, by the key of the alias."""
    with SEED.open(encoding="utf-8", newline="") as file:
        return {
            names.key(row["alias"]): Match(
                names.device_key(row["manufacturer"], row["device"]),
                names.full(row["manufacturer"], row["device"]),
                row["manufacturer"],
                float(row["score"]),
                row["reason"],
                REVIEWED,
            )
            for row in csv.DictReader(file)
        }
