"""Devices out of what sources state: Epoch AI's table, and the database that imports fill.

    for found in epoch(): print(found.name, isinstance(found, Device))

A `Device` needs bandwidth, memory and a rate; what lacks one is `Incomplete`. Values of several sources
make one device: of each, that of the source believed most. Of a dtype the dense rate of matrix units
counts; where a device has none, that of vector units (fp32 and fp64: always these).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netwright.core.error import UserError
from netwright.hardware import chips, names
from netwright.hardware.device import DTYPES, OPTIONAL, Device, Source

VARIABLE, FILE = "NETWRIGHT_DATABASE_URL", "netwright.db"
"""As in `core.db`, which is not imported for them: SQLAlchemy takes longer than all the rest of `find`."""

NEEDED = {"bandwidth": "memory bandwidth", "memory": "memory size"}
FIELDS = (*NEEDED, *OPTIONAL, "year", "architecture")


@dataclass(frozen=True)
class Origin:
    """Who states a value."""

    where: str
    date: str
    licence: str
    priority: int = 0
    """Of an imported source: the smaller, the more it is believed."""


@dataclass(frozen=True)
class Incomplete:
    """A device that nothing can be predicted for, and what no source says of it."""

    name: str
    manufacturer: str
    lacks: tuple[str, ...]


Stated = dict[str, tuple[Any, Origin]]
"""Field of `Device`, or "rates.fp16.matrix.fp32.dense" -> value, and who states it."""


def device(name: str, manufacturer: str, kind: Any, stated: Stated, **about: Any) -> Device | Incomplete:
    """A device from its values, or what it lacks. `about`: aliases, note."""
    rates: dict[str, tuple[float, Origin]] = {}
    narrow = False
    matrix = "matrix_units" in stated or any(".matrix." in field for field in stated)
    for dtype in DTYPES:
        found = _rates(stated, dtype, matrix)
        if found:
            _, sums16, value, origin = found[0]
            rates[dtype] = value, origin
            narrow |= sums16 and dtype in ("bf16", "fp16")
    lacks = [why for field, why in NEEDED.items() if field not in stated]
    lacks += [] if rates else ["peak rate"]
    if lacks:
        return Incomplete(name, manufacturer, tuple(lacks))
    kept = {field: stated[field] for field in FIELDS if field in stated}
    said: dict[Origin, list[str]] = {}
    for field, (_, origin) in ({f"rates.{dtype}": pair for dtype, pair in rates.items()} | kept).items():
        said.setdefault(origin, []).append(field)
    sources = tuple(Source(values=tuple(v), where=o.where, date=o.date, licence=o.licence) for o, v in said.items())
    values: dict[str, Any] = {f: int(value) if f in ("units", "year") else value for f, (value, _) in kept.items()}
    dense = {dtype: value for dtype, (value, _) in rates.items()}
    values |= {"name": name, "manufacturer": manufacturer, "kind": kind, "sources": sources, "narrow": narrow}
    return Device(rates=dense, **about, **values)


def _rates(stated: Stated, dtype: str, matrix: bool) -> list[tuple[bool, bool, float, Origin]]:
    """The dense rates stated for a dtype: first on the units that compute it, then with 32-bit sums."""
    vector = dtype in ("fp32", "fp64")
    found = []
    for field, (value, origin) in stated.items():
        if field.startswith(f"rates.{dtype}.") and field.endswith(".dense"):
            _, _, unit, accumulate, _ = field.split(".")
            if vector or unit == "matrix" or not matrix:
                found.append(((unit == "vector") != vector, accumulate == "fp16", value, origin))
    return sorted(found, key=lambda one: one[:2])


def stated(device: Device) -> Stated:
    """A device's values, each with who states it: the inverse of `device`."""
    by = {value: Origin(s.where, s.date, s.licence) for s in device.sources for value in s.values}
    nobody = Origin("nobody", "", "")
    sums = "fp16" if device.narrow else "fp32"
    found: Stated = {}
    for dtype, rate in device.rates.items():
        unit = "vector" if dtype in ("fp32", "fp64") else "matrix"
        accumulate = sums if dtype in ("bf16", "fp16") else "unknown"
        found[f"rates.{dtype}.{unit}.{accumulate}.dense"] = rate, by.get(f"rates.{dtype}", nobody)
    for field in FIELDS:
        if getattr(device, field) not in (None, ""):
            found[field] = getattr(device, field), by.get(field, nobody)
    return found


OWN = 25
"""The last priority of what a person states on purpose: a table of one's own, system files."""


def merge(first: Device, second: Stated) -> Device:
    """The first device, with what it lacks from other sources; of a rate that it has, nothing else is taken."""
    own = stated(first)
    dtypes = {f"rates.{dtype}." for dtype in first.rates}
    rest = {field: pair for field, pair in second.items() if not field.startswith(tuple(dtypes))}
    if first.rates.keys() & {"bf16", "fp16"}:  # 16-bit rates with other sums cannot stand beside its own
        other = "fp32" if first.narrow else "fp16"
        odd = (f"rates.bf16.matrix.{other}.", f"rates.fp16.matrix.{other}.", "rates.fp16.vector.", "rates.bf16.vector.")
        rest = {field: pair for field, pair in rest.items() if not field.startswith(odd)}
    about = {"aliases": first.aliases, "note": first.note}
    merged = device(first.name, first.manufacturer, first.kind, rest | own, **about)
    assert isinstance(merged, Device)
    return first if dataclasses.replace(merged, sources=first.sources) == first else merged


@functools.cache
def epoch() -> tuple[Device | Incomplete, ...]:
    """Every row of Epoch AI's table that the rules leave, in its order."""
    from netwright.hardware.etl import epoch as importer
    from netwright.hardware.etl import rules
    from netwright.hardware.etl.row import CATEGORIES, Row

    found = []
    for one in importer.rows(importer.SEED.read_bytes()):
        row = rules.check(one)[0] if isinstance(one, Row) else None
        if row is None:
            continue
        where = f"Epoch AI, epoch.ai/data/machine-learning-hardware, row {row.name}"
        origin = Origin(where, "2025-11", "CC BY")
        values: Stated = {field: (value, origin) for field, value in row.values.items()}
        if isinstance(released := row.values.get("released"), datetime.date):
            values["year"] = released.year, origin
        for price in row.prices:
            values["price"] = price.usd, origin
        found.append(device(names.full(row.manufacturer, row.name), row.manufacturer, CATEGORIES[row.category], values))
    return tuple(found)


def imported(runs: Path, key: str | None = None) -> dict[str, tuple[str, str, str, Stated]]:
    """Devices of the database of a folder of runs, by key: name, maker, kind and what is stated, best source first.

    Only the device of `key` where one is given, which may be that of a reviewed alias, with or without its
    maker. Where there is no database, or one without a catalogue, nothing is found and nothing is made.
    """
    url = os.environ.get(VARIABLE, "")
    if url:
        return _server(url, key)
    path = runs / FILE
    if not path.is_file():
        return {}
    # the index of the write-ahead log needs a folder that can be written; where none can, nobody writes
    how = "mode=ro" if os.access(path.parent, os.W_OK) else "immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, timeout=10)) as opened:
            if opened.execute("SELECT 1 FROM sqlite_master WHERE name = 'chip_specs'").fetchone() is None:
                return {}
            return _devices(lambda sql, about: opened.execute(sql, about).fetchall(), key)
    except sqlite3.Error as fault:
        raise UserError("database", str(path), f"cannot be read: {fault}", "netwright doctor") from None


def _server(url: str, key: str | None) -> dict[str, tuple[str, str, str, Stated]]:
    import sqlalchemy as sa

    from netwright.core import db

    with db.reading(url) as connection:
        if not sa.inspect(connection).has_table("chip_specs"):
            return {}
        return _devices(lambda sql, about: [tuple(row) for row in connection.execute(sa.text(sql), about)], key)


Query = Callable[[str, Mapping[str, Any]], Sequence[tuple[Any, ...]]]

_CHIP = (
    "year", "units", "clock", "cache", "power", "die_area", "transistors", "link", "host_link", "network",
    "matrix_units", "chip",
)  # fmt: skip
_SOURCE = "s.title, s.address, s.date, s.licence, s.priority"
_BEST = "JOIN sources s ON s.id = t.source_id {where} ORDER BY s.priority, s.key"


def _devices(query: Query, key: str | None) -> dict[str, tuple[str, str, str, Stated]]:
    where, about = "", {}
    if key is not None:
        about = {"key": key, "ending": f"%:{key}"}
        where = """WHERE d.key = :key OR d.key LIKE :ending OR d.id IN
            (SELECT a.device_id FROM device_aliases a WHERE a.reviewed AND a.key = :key)"""
    listed = query(
        f"""SELECT d.id, d.key, d.name, m.name, c.kind FROM devices d JOIN manufacturers m ON m.id = d.manufacturer_id
        JOIN categories c ON c.id = d.category_id {where} ORDER BY d.key""",
        about,
    )
    stated: dict[int, Stated] = {row[0]: {} for row in listed}
    if key is not None and not stated:
        return {}
    # a handful of ids are our own whole numbers, so they may stand in the text
    ids = f"WHERE t.device_id IN ({', '.join(map(str, stated))})" if key is not None else ""
    best = _BEST.format(where=ids)
    chip = f"""SELECT t.device_id, {_SOURCE}, t.released, a.name, p.node, {", ".join(f"t.{c}" for c in _CHIP)}
        FROM chip_specs t LEFT JOIN architectures a ON a.id = t.architecture_id
        LEFT JOIN processes p ON p.id = t.process_id {best}"""
    for device_id, title, address, date, licence, priority, released, *values in query(chip, {}):
        row = dict(zip(("architecture", "process", *_CHIP), values, strict=True))
        row["year"] = row["year"] or (int(str(released)[:4]) if released is not None else None)
        _add(stated[device_id], row, (title, address, date, licence, priority))
    for device_id, *said, memory, bandwidth in query(
        f"SELECT t.device_id, {_SOURCE}, t.capacity, t.bandwidth FROM memory_specs t {best}", {}
    ):
        _add(stated[device_id], {"memory": memory, "bandwidth": bandwidth}, said)
    for device_id, *said, dtype, unit, accumulate, sparsity, value in query(
        f"SELECT t.device_id, {_SOURCE}, t.dtype, t.unit, t.accumulate, t.sparsity, t.value FROM peak_rates t {best}",
        {},
    ):
        _add(stated[device_id], {f"rates.{dtype}.{unit}.{accumulate}.{sparsity}": value}, said)
    release = best.replace("ORDER BY", f"{'AND' if ids else 'WHERE'} t.kind = 'release' ORDER BY")
    for device_id, *said, usd, count in query(
        f"SELECT t.device_id, {_SOURCE}, t.usd, t.count FROM prices t {release}", {}
    ):
        _add(stated[device_id], {"price": usd / count}, said)
    for number, _, name, _, _ in listed:
        _compute(name, stated[number])
    return {key: (name, maker, kind, stated[number]) for number, key, name, maker, kind in listed}


def _compute(name: str, stated: Stated) -> None:
    """The rates of matrix units that no source states, where the maker says what a unit does in a clock."""
    needed = [stated.get(field) for field in ("chip", "units", "clock", "matrix_units")]
    if any(".matrix." in field for field in stated) or None in needed:
        return
    chip, units, clock, _ = (pair[0] for pair in needed if pair)
    architecture = stated["architecture"][0] if "architecture" in stated else ""
    found, where = chips.rates(chip, architecture, units, clock, "GeForce" in name)
    origin = Origin(f"computed: units x clock x FLOP of a unit in a clock, of {where}", "", "facts")
    stated.update({field: (value, origin) for field, value in found.items()})


def _add(to: Stated, values: Mapping[str, Any], said: Sequence[Any]) -> None:
    title, address, date, licence, priority = said
    origin = Origin(f"{title}, {address}", str(date or ""), licence, priority)
    for field, value in values.items():
        if value is not None:
            to.setdefault(field, (value, origin))
