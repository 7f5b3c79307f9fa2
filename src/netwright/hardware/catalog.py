"""The devices that ship with netwright, found by name.

    catalog.find("h100").bandwidth

Names are matched without regard to case, spaces, hyphens and the maker's name; short aliases stand in
the seed file and were each looked at by a person. `this-machine` is what `detect.machine()` says.
"""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.hardware.device import Device

SEED = Path(__file__).with_name("seed") / "devices.toml"
HERE = "this-machine"


@functools.cache
def load(path: Path = SEED) -> tuple[Device, ...]:
    """All devices of a seed file, in its order. Raises ValueError when two share a name or an alias."""
    values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    devices = tuple(recipe.build(Device, row, "device") for row in values["device"])
    keys = [key for device in devices for key in _keys(device)]
    double = sorted({key for key in keys if keys.count(key) > 1})
    if double:
        raise ValueError(f"{path.name}: {double} name more than one device")
    return devices


def all() -> tuple[Device, ...]:
    """Every device of the catalogue; this machine is not among them."""
    return load()


def find(name: str) -> Device:
    """The device of that name or alias. Raises UserError with the nearest names."""
    if _plain(name) == _plain(HERE):
        from netwright.hardware import detect

        return detect.machine()
    devices = {key: device for device in load() for key in _keys(device)}
    if _plain(name) in devices:
        return devices[_plain(name)]
    raise UserError("device", name, _nearest(_plain(name), devices), "netwright hardware list")


def _nearest(wrong: str, devices: dict[str, Device]) -> str:
    near = difflib.get_close_matches(wrong, devices, n=3, cutoff=0.5)
    near += [key for key in devices if wrong and (wrong in key or key in wrong) and key not in near]
    listed = _short(devices[key] for key in near) or _short(load())
    return ("did you mean " if near else "known: ") + ", ".join(listed)


def _short(devices: Iterable[Device]) -> list[str]:
    """What one would type for each device, each once."""
    return list(dict.fromkeys(min(_names(device)[1:], key=len) for device in devices))


def _names(device: Device) -> tuple[str, ...]:
    return (device.name, device.name.removeprefix(device.manufacturer + " "), *device.aliases)


def _keys(device: Device) -> list[str]:
    return list(dict.fromkeys(map(_plain, _names(device))))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
