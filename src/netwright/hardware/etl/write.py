"""Believed rows into the tables, so that writing the same rows again changes nothing.

What a source states now replaces what it stated before, by difference: rows that are the same keep their
identity. Devices, makers, architectures and the like are found by their names, or added.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from netwright.hardware import names, schema
from netwright.hardware.etl.match import SAME_NAME, Match
from netwright.hardware.etl.row import CATEGORIES, CHIP, MEMORY, TEXTS, WHOLE, Row, rates

UNKNOWN = "unknown"
GENERIC = ("GPU", "accelerator")
"""Categories that say no more than the kind: a source that says more replaces them."""


@dataclass(frozen=True)
class SourceRow:
    """A row of `sources`, before it has a number."""

    key: str
    title: str
    address: str
    licence: str
    date: str
    sha256: str
    priority: int


@dataclass
class Statements:
    """What is to stand in the tables of one import: believed rows with the device each means."""

    sources: dict[str, SourceRow] = field(default_factory=dict)
    rows: list[tuple[str, Row, Match]] = field(default_factory=list)
    """Key of the source, the row, the device."""
    proposals: list[tuple[str, str, Match]] = field(default_factory=list)
    """Key of the source, the name as it writes it, the device that it may mean."""


def write(connection: Connection, key: str, said: Statements) -> dict[str, tuple[int, int]]:
    """Make the tables hold what the import `key` says, and no more of it; returns table -> rows added, removed."""
    changes: dict[str, tuple[int, int]] = {}
    ids = _sources(connection, key, said.sources)
    spoken = {(match.manufacturer or UNKNOWN,) for _, _, match in said.rows}
    makers = _named(connection, schema.manufacturers, spoken, ("name",))
    devices = _devices(connection, said, makers, changes)
    architectures = _named(
        connection,
        schema.architectures,
        {
            (makers[match.manufacturer or UNKNOWN,], row.values["architecture"])
            for _, row, match in said.rows
            if "architecture" in row.values
        },
        ("manufacturer_id", "name"),
    )
    processes = _named(
        connection,
        schema.processes,
        {(row.values.get("foundry", ""), row.values["process"]) for _, row, _ in said.rows if "process" in row.values},
        ("foundry", "node"),
    )
    works = {(result.workload,) for _, row, _ in said.rows for result in row.results}
    workloads = _named(connection, schema.workloads, works, ("name",))
    tables: dict[sa.Table, list[dict[str, Any]]] = {table: [] for table in _STATED}
    for source, row, match in said.rows:
        base: dict[str, Any] = {"device_id": devices[match.key], "source_id": ids[source]}
        chip: dict[str, Any] = {name: _cell(name, row.values.get(name)) for name in CHIP}
        maker = makers[match.manufacturer or UNKNOWN,]
        chip["architecture_id"] = architectures.get((maker, row.values.get("architecture")))
        chip["process_id"] = processes.get((row.values.get("foundry", ""), row.values.get("process")))
        if any(value is not None for value in chip.values()):
            tables[schema.chip_specs].append(base | chip)
        memory = {column: _cell(name, row.values.get(name)) for name, column in MEMORY.items()}
        if any(value is not None for value in memory.values()):
            tables[schema.memory_specs].append(base | memory)
        for dtype, unit, accumulate, sparsity, value in rates(row):
            named = {"dtype": dtype, "unit": unit, "accumulate": accumulate, "sparsity": sparsity}
            tables[schema.peak_rates].append(base | named | {"value": value})
        tables[schema.prices] += [base | vars(price) for price in row.prices]
        for result in row.results:
            measured = {name: value for name, value in vars(result).items() if name != "workload"}
            measured["workload_id"] = workloads[result.workload,]
            tables[schema.hardware_measurements].append(base | measured)
    tables[schema.device_aliases] = _aliases(said, devices, ids)
    for table, rows in tables.items():
        changes[table.name] = _replace(connection, table, list(ids.values()), rows)
    _forget(connection, changes)
    return changes


_STATED = (
    schema.chip_specs, schema.memory_specs, schema.peak_rates, schema.prices, schema.hardware_measurements,
    schema.device_aliases,
)  # fmt: skip
"""The tables whose rows belong to a source."""


def _aliases(said: Statements, devices: Mapping[str, int], ids: Mapping[str, int]) -> list[dict[str, Any]]:
    """What sources call devices otherwise than we do, each name once a source, and the proposals."""
    told = [(source, row.name, match, True) for source, row, match in said.rows if match.how not in ("", SAME_NAME)]
    told += [(source, name, match, False) for source, name, match in said.proposals]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for source, name, match, reviewed in told:
        alias = {"device_id": devices[match.key], "source_id": ids[source], "alias": name, "key": names.key(name)}
        about = {"match_score": match.score, "reason": match.reason, "reviewed": reviewed}
        found.setdefault((source, name), alias | about)
    return list(found.values())


def _cell(name: str, value: Any) -> Any:
    return int(value) if name in WHOLE and value is not None else str(value) if name in TEXTS and value else value


def _sources(connection: Connection, key: str, wanted: Mapping[str, SourceRow]) -> dict[str, int]:
    """The sources of this import, and no other that an earlier run of it made."""
    table = schema.sources
    mine = sa.or_(table.c.key == key, table.c.key.startswith(key + "/", autoescape=True))
    known = {row.key: row for row in connection.execute(sa.select(table).where(mine))}
    for gone in known.keys() - wanted.keys():
        connection.execute(table.delete().where(table.c.id == known[gone].id))
    for name, row in wanted.items():
        if name not in known:
            connection.execute(table.insert(), vars(row))
        elif vars(row) != {column: getattr(known[name], column) for column in vars(row)}:
            connection.execute(table.update().where(table.c.id == known[name].id), vars(row))
    return {row.key: row.id for row in connection.execute(sa.select(table.c.key, table.c.id).where(mine))}


def _devices(
    connection: Connection, said: Statements, makers: Mapping[tuple[Any, ...], int], changes: dict[str, tuple[int, int]]
) -> dict[str, int]:
    """The numbers of all devices by key. Each bears the name and category of the source that is believed most."""
    table = schema.devices
    known = {row.key: row for row in connection.execute(sa.select(table))}
    believed = _believed(connection)
    spoken: dict[str, tuple[int, Match, str]] = {}
    for source, row, match in said.rows:
        category = row.category or "accelerator"
        if match.key not in spoken or (spoken[match.key][2] in GENERIC and category not in GENERIC):
            spoken[match.key] = said.sources[source].priority, match, category
    wanted = {(category, CATEGORIES[category]) for _, _, category in spoken.values()}
    categories = _named(connection, schema.categories, wanted, ("name", "kind"))
    names_of = {number: name for (name, _), number in categories.items()}
    rows = []
    for key, (priority, match, category) in spoken.items():
        about = {"name": match.name, "category_id": categories[category, CATEGORIES[category]]}
        had = known.get(key)
        if had is None:
            rows.append(about | {"key": key, "manufacturer_id": makers[match.manufacturer or UNKNOWN,]})
            continue
        before, sort = believed.get(had.id, priority), names_of[had.category_id]
        if (before, had.name) <= (priority, match.name):
            del about["name"]
        if (sort in GENERIC, before, sort) <= (category in GENERIC, priority, category):
            del about["category_id"]
        if about:
            connection.execute(table.update().where(table.c.id == had.id), about)
    if rows:
        connection.execute(table.insert(), rows)
    changes[table.name] = len(rows), 0
    return {row.key: row.id for row in connection.execute(sa.select(table.c.key, table.c.id))}


def _believed(connection: Connection) -> dict[int, int]:
    """The least priority among the sources that speak of a device, by its number."""
    parts = (
        sa.select(table.c.device_id, schema.sources.c.priority).join_from(table, schema.sources) for table in _STATED
    )
    spoken = sa.union(*parts).subquery()
    least = sa.select(spoken.c.device_id, sa.func.min(spoken.c.priority).label("least")).group_by(spoken.c.device_id)
    return {row.device_id: row.least for row in connection.execute(least)}


def _named(
    connection: Connection, table: sa.Table, wanted: Iterable[tuple[Any, ...]], columns: Sequence[str]
) -> dict[tuple[Any, ...], int]:
    """The numbers of all rows of a small table by their natural key; those that are missing are added."""
    query = sa.select(*(table.c[column] for column in columns), table.c.id)
    known = {tuple(row[:-1]): int(row[-1]) for row in connection.execute(query)}
    missing = sorted(set(wanted) - known.keys(), key=repr)
    if missing:
        connection.execute(table.insert(), [dict(zip(columns, values, strict=True)) for values in missing])
        known = {tuple(row[:-1]): int(row[-1]) for row in connection.execute(query)}
    return known


def _replace(
    connection: Connection, table: sa.Table, sources: Sequence[int], rows: Sequence[Mapping[str, Any]]
) -> tuple[int, int]:
    """Make a table's rows of some sources be these; rows that are there already are not touched."""
    columns = [column for column in table.columns if column.name != "id"]
    keys = list(table.primary_key.columns)
    query = sa.select(*columns, *(key.label(f"key_{key.name}") for key in keys)).where(table.c.source_id.in_(sources))
    known: dict[Hashable, list[tuple[Any, ...]]] = {}
    for row in connection.execute(query):
        known.setdefault(_frozen(row[: len(columns)]), []).append(tuple(row[len(columns) :]))
    new = []
    for wanted in rows:
        same = known.get(_frozen([wanted.get(column.name) for column in columns]))
        if same:
            same.pop()
        else:
            new.append({column.name: wanted.get(column.name) for column in columns})
    old = [key for left in known.values() for key in left]
    if old:
        gone = sa.and_(*(key == sa.bindparam(f"key_{key.name}") for key in keys))
        named = [{f"key_{key.name}": value for key, value in zip(keys, values, strict=True)} for values in old]
        connection.execute(table.delete().where(gone), named)
    if new:
        connection.execute(table.insert(), new)
    return len(new), len(old)


def _frozen(values: Sequence[Any]) -> Hashable:
    return tuple(json.dumps(value, sort_keys=True) if isinstance(value, dict) else value for value in values)


def _forget(connection: Connection, changes: dict[str, tuple[int, int]]) -> None:
    """Devices that nobody says anything of any more go."""
    table = schema.devices
    others = (*_STATED, schema.imputed_values, schema.predictions)
    spoken = sa.union(*(sa.select(other.c.device_id) for other in others))
    gone = connection.execute(table.delete().where(table.c.id.not_in(spoken))).rowcount
    changes[table.name] = changes[table.name][0], gone
