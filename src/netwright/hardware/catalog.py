"""The devices that netwright knows, found by name.

    catalog.find("h100").bandwidth
    catalog.find("NVIDIA A100-SXM4-80GB").name      # "NVIDIA A100 SXM 80GB"
    catalog.from_specs(Path("my-card.yaml"))

Three layers, believed in this order value by value: the curated seed, Epoch AI's table (both ship), and
what was imported into the database of `runs` where there is one; reading makes none. Each value keeps its
source. `this-machine` is what `detect.machine()` says. A row without bandwidth or any rate is in
`incomplete`, and `find` says what it lacks: nothing here is ever guessed.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.hardware import layers, names, specs
from netwright.hardware.device import Device
from netwright.hardware.layers import Incomplete

SEED = Path(__file__).with_name("seed") / "devices.toml"
HERE = "this-machine"
RUNS = Path("runs")


@functools.cache
def load(path: Path = SEED) -> tuple[Device, ...]:
    """All devices of a seed file, in its order. Raises ValueError when two share a name or an alias."""
    values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    devices = tuple(recipe.build(Device, row, "device") for row in values["device"])
    keys = [key for device in devices for key in dict.fromkeys(map(names.plain, _names(device)))]
    double = sorted({key for key in keys if keys.count(key) > 1})
    if double:
        raise ValueError(f"{path.name}: {double} name more than one device")
    return devices


def all(runs: Path = RUNS) -> tuple[Device, ...]:
    """Every device that something can be predicted for, the curated ones first; this machine is not among them."""
    return _everything(runs)[0]


def incomplete(runs: Path = RUNS) -> tuple[Incomplete, ...]:
    """Devices that are known, but not well enough to predict anything, with what they lack."""
    return _everything(runs)[1]


def find(name: str, runs: Path = RUNS) -> Device:
    """The device of that name or alias, in any spelling that `names.key` takes for the same.

    Raises UserError with the nearest names, or with what a known device lacks.
    """
    if names.plain(name) == names.plain(HERE):
        from netwright.hardware import detect

        return detect.machine()
    found = shipped(name)
    key = names.key(name) if found is None else names.device_key(found.manufacturer, found.name)
    for imported_name, maker, kind, stated in layers.imported(runs, key).values():
        if isinstance(found, Device):
            return _filled(found, stated)
        found = layers.device(imported_name, maker, kind, stated)
    if isinstance(found, Incomplete):
        allowed = f"it is known, but no source here states its {' and '.join(found.lacks)}"
        raise UserError("device", name, allowed, "write its data sheet into a file: --specs FILE.yaml")
    if found is None:
        raise UserError("device", name, _nearest(names.plain(name), runs), "netwright hardware list")
    return found


def shipped(name: str) -> Device | Incomplete | None:
    """The device of that name among those that ship: exactly, by its key, or by its key and memory size."""
    plain, key = names.plain(name), names.key(name)
    short, memory = names.without_memory(name)
    for index in (_curated, _epoch):  # the second is not read where the first has it
        exact, keys = index()
        found = exact.get(plain) or keys.get(key)
        if found is not None:
            return found
        near = keys.get(short) if memory else None
        if isinstance(near, Device) and memory and names.same_memory(near.memory, memory):
            return near
    return None


def from_specs(path: Path) -> Device:
    """The device of a YAML file (see `specs`).

    Where the file's name is that of a device of the catalogue and all numbers that both state agree
    within 10 %, it is that device: what the file leaves out is taken from there. Raises UserError.
    """
    told = specs.read(path)
    known = shipped(told.name)
    if not isinstance(known, Device) or not _agree(told, known):
        return told
    if told.manufacturer == "unknown":
        told = dataclasses.replace(told, manufacturer=known.manufacturer, kind=known.kind)
    narrow = known.narrow if told.rates.keys() & known.rates.keys() & {"bf16", "fp16"} else told.narrow
    return layers.merge(dataclasses.replace(told, narrow=narrow), layers.stated(known))


def _agree(a: Device, b: Device) -> bool:
    pairs = [(getattr(a, name), getattr(b, name)) for name in ("bandwidth", "memory", "power", "units")]
    pairs += [(a.rates[dtype], b.rates[dtype]) for dtype in a.rates.keys() & b.rates.keys()]
    return not any(x is not None and y is not None and not 0.9 <= x / y <= 1.1 for x, y in pairs)


Index = tuple[dict[str, Device | Incomplete], dict[str, Device | Incomplete]]
"""Devices by plain name and by key."""


@functools.cache
def _curated() -> Index:
    exact: dict[str, Device | Incomplete] = {}
    keys: dict[str, Device | Incomplete] = {}
    for device in load():
        for name in _names(device):
            exact[names.plain(name)] = device
            keys.setdefault(names.key(name), device)
    for row, device in _told().items():  # what Epoch AI calls them
        exact.setdefault(names.plain(row), device)
    return exact, keys


def _told() -> dict[str, Device]:
    """Name of a row of Epoch AI's table -> the first curated device with values of it."""
    rows: dict[str, Device] = {}
    for device in load():
        for source in device.sources:
            for row in source.where.split(", row ")[1:]:
                rows.setdefault(row, device)
    return rows


@functools.cache
def _epoch() -> Index:
    """The rows of Epoch AI's table that no curated device is made of."""
    exact, keys = _curated()
    left = [row for row in layers.epoch() if not any(row.name.endswith(name) for name in _told())]
    left = [row for row in left if names.plain(row.name) not in exact and names.key(row.name) not in keys]
    newest: Index = {}, {}
    for row in left:
        newest[1].setdefault(names.key(row.name), row)
        for name in _names(row):
            newest[0].setdefault(names.plain(name), row)
    return newest


def _everything(runs: Path) -> tuple[tuple[Device, ...], tuple[Incomplete, ...]]:
    rows: dict[str, Device | Incomplete] = {}
    for row in (*_curated()[0].values(), *_epoch()[1].values()):
        rows[names.device_key(row.manufacturer, row.name)] = row
    for key, (name, maker, kind, stated) in layers.imported(runs).items():
        known = rows.get(key)
        if isinstance(known, Device):
            rows[key] = _filled(known, stated)
        else:
            rows[key] = layers.device(name, maker, kind, stated)
    found = tuple(rows.values())
    return (
        tuple(row for row in found if isinstance(row, Device)),
        tuple(row for row in found if isinstance(row, Incomplete)),
    )


def _filled(device: Device, stated: layers.Stated) -> Device:
    """A device that ships with what imports know besides.

    What a curated device lacks was left out on purpose (the die of the MI250X is one of two, in every list), so
    that only a table of one's own may add to it.
    """
    if any(device is curated for curated in load()):
        stated = {field: pair for field, pair in stated.items() if pair[1].priority <= layers.OWN}
    return layers.merge(device, stated)


def _nearest(wrong: str, runs: Path) -> str:
    known = {names.plain(name): device for device in all(runs) for name in _names(device)}
    near = difflib.get_close_matches(wrong, known, n=3, cutoff=0.5)
    near += [key for key in known if wrong and (wrong in key or key in wrong) and key not in near][:12]
    listed = _short(known[key] for key in near) or _short(load())
    return ("did you mean " if near else "known: ") + ", ".join(listed)


def _short(devices: Iterable[Device]) -> list[str]:
    """What one would type for each device, each once."""
    return list(dict.fromkeys(min(_names(device)[1:], key=len) for device in devices))


def _names(device: Device | Incomplete) -> tuple[str, ...]:
    aliases = device.aliases if isinstance(device, Device) else ()
    return (device.name, device.name.removeprefix(device.manufacturer + " "), *aliases)
