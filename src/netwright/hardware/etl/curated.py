"""The curated seed, and folders of system files, as rows: one row for each source of a device's values."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.hardware import layers, specs
from netwright.hardware.device import Device
from netwright.hardware.etl.row import FIELDS, Price, Row, Value
from netwright.hardware.etl.write import SourceRow

if TYPE_CHECKING:
    from netwright.hardware.etl import Importer

CATEGORIES = (
    (r"Jetson", "embedded GPU"),
    (r"GeForce|Titan|Radeon RX|Arc [AB]\d", "desktop GPU"),
    (r"RTX|Quadro|Arc Pro", "workstation GPU"),
    (r"TPU", "TPU"),
)
OF_KIND = {"gpu": "data centre GPU", "accelerator": "accelerator", "cpu": "CPU"}


def rows(data: bytes) -> Iterator[Row | tuple[str, str]]:
    """The devices of a file laid out as the shipped seed. Raises UserError where one of them is none."""
    try:
        told = tomllib.loads(data.decode())
        devices = [recipe.build(Device, row, "device") for row in told["device"]]
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise UserError("file", "devices.toml", f"[[device]] tables as in the seed: {fault}", "mend it") from None
    for device in devices:
        yield from of(device, device.name)


def systems(folder: Path, key: str, importer: Importer) -> tuple[SourceRow, Iterator[Row | tuple[str, str]]]:
    """The devices of a folder of YAML files laid out as those of aiconfigurator, or what is wrong with one."""
    paths = sorted(folder.glob("*.yaml")) if folder.is_dir() else [folder]
    if not paths or not all(path.is_file() for path in paths):
        raise UserError("path", str(folder), "a folder of .yaml files", "ls")
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    about = SourceRow(key, importer.title, importer.address, importer.licence, "", digest, importer.priority)
    return about, _systems(paths)


def _systems(paths: list[Path]) -> Iterator[Row | tuple[str, str]]:
    for path in paths:
        try:
            told = specs.read(path)
        except UserError as refusal:
            yield path.name, str(refusal)
            continue
        for row in of(told, path.name):
            yield replace(row, origin=None)


def of(device: Device, at: str) -> Iterator[Row]:
    """A device's values by who states them."""
    by: dict[layers.Origin, dict[str, Value]] = {}
    prices: dict[layers.Origin, float] = {}
    for field, (value, origin) in layers.stated(device).items():
        whole = replace(origin, where=origin.where.partition(", row ")[0])
        if field == "price":
            prices[whole] = value
        elif field in FIELDS or field.startswith("rates."):
            by.setdefault(whole, {})[field] = value
    for origin in dict.fromkeys([*by, *prices]):
        price = (Price(kind="release", usd=prices[origin]),) if origin in prices else ()
        kind = next((found for pattern, found in CATEGORIES if re.search(pattern, device.name)), OF_KIND[device.kind])
        yield Row(at, device.name, by.get(origin, {}), device.manufacturer, kind, price, (), origin)
