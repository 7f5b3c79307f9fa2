"""One import from file to tables: read, match, doubt, leave out what stands twice, write, count.

with db.writing(engine) as connection:
    report = pipeline.load(connection, "epoch", SOURCES["epoch"], None)
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from netwright.core.error import UserError
from netwright.hardware import catalog, schema
from netwright.hardware.device import Device
from netwright.hardware.etl import read, rules
from netwright.hardware.etl.match import Matcher
from netwright.hardware.etl.report import Proposal, Rejected, Report, share
from netwright.hardware.etl.row import Price, Result, Row
from netwright.hardware.etl.write import SourceRow, Statements, write

if TYPE_CHECKING:
    from netwright.hardware.etl import Importer

Read = Iterable[Row | tuple[str, str]]
MAX_ROWS = 2_000_000


def load(connection: Connection, name: str, importer: Importer, path: Path | None) -> Report:
    """Import one source over an open transaction. Raises UserError where the file as a whole is none."""
    about, found = _open(name, importer, path)
    matcher = Matcher(_known(connection, importer.priority))
    report, said = Report(about.key), Statements()
    raw, clean = _believe(found, about, matcher, report, said, curated=name == "curated")
    _propose(said, matcher, report)
    report.changes = write(connection, about.key, said)
    stated, left = share(raw.values(), len(raw)), share(clean.values(), len(raw))
    report.coverage = {column: (part, left.get(column, 0.0)) for column, part in sorted(stated.items())}
    report.coverage |= {column: (0.0, part) for column, part in sorted(left.items()) if column not in stated}
    report.architectures = _architectures(connection, said)
    return report


def _known(connection: Connection, priority: int) -> list[tuple[str, str, str]]:
    """Devices that sources believed more than this one specify: what comes after cannot change how names are told."""
    spoken = sa.union(
        *(
            sa.select(table.c.device_id).join_from(table, schema.sources).where(schema.sources.c.priority < priority)
            for table in (schema.memory_specs, schema.peak_rates)
        )
    )
    query = sa.select(schema.devices.c.key, schema.devices.c.name, schema.manufacturers.c.name.label("maker"))
    query = query.join_from(schema.devices, schema.manufacturers).where(schema.devices.c.id.in_(spoken))
    return [(row.key, row.name, row.maker) for row in connection.execute(query.order_by(schema.devices.c.key))]


def _open(name: str, importer: Importer, path: Path | None) -> tuple[SourceRow, Read]:
    """The source as a row, and what it reads."""
    if path is None:
        if not importer.ships:
            raise UserError("path", None, f"the file of {importer.title}", f"netwright hardware import {name} PATH")
        ships = _resolve(importer.ships)
        path = ships() if callable(ships) else ships
    function = _resolve(importer.rows)
    if importer.whole:
        data = read.content(path)
        about = SourceRow(
            key=name, title=importer.title, address=importer.address, licence=importer.licence, date=importer.date,
            sha256=hashlib.sha256(data).hexdigest(), priority=importer.priority,
        )  # fmt: skip
        return about, function(data)
    about, rows = function(path, name, importer)
    return about, rows


def _resolve(place: str) -> Any:
    module, _, name = place.partition(":")
    folder = "netwright.hardware" if module == "catalog" else "netwright.hardware.etl"
    return getattr(importlib.import_module(f"{folder}.{module}"), name)


def _believe(
    found: Read, about: SourceRow, matcher: Matcher, report: Report, said: Statements, curated: bool
) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Fill `said` with what may be believed; returns what is stated of each name, before and after the rules."""
    raw: dict[str, set[str]] = {}
    clean: dict[str, set[str]] = {}
    rows: dict[tuple[str, str], Row] = {}
    listed: set[tuple[Any, ...]] = set()
    names: set[str] = set()
    said.sources[about.key] = about
    for one in found:
        report.rows += 1
        if report.rows > MAX_ROWS:
            raise UserError("file", about.key, f"at most {MAX_ROWS:,} rows", "split it")
        if not isinstance(one, Row):
            report.rejected.append(Rejected(*one))
            continue
        raw.setdefault(one.name, set()).update(_columns(one))
        match = matcher.match(one.name, one.manufacturer, one.number("memory"))
        shipped = catalog.shipped(match.name) if match.score and not curated else None
        row, findings = rules.check(one, shipped if isinstance(shipped, Device) else None)
        report.findings += findings
        if row is None:
            report.rejected.append(Rejected(one.at, findings[-1].why))
            continue
        source = about if row.origin is None else _origin(about, row)
        first = rows.get((source.key, match.key))
        if first is not None and row.values and not (row.prices or row.results):
            report.rejected.append(Rejected(row.at, _twice(first, row)))
            continue
        if first is not None:
            row = replace(row, values={})  # what it says of the device was said; its prices and results are new
        row = _once(row, source.key, match.key, listed, report)
        if row.values:
            rows[source.key, match.key] = row
        said.sources[source.key] = source
        said.rows.append((source.key, row, match))
        clean.setdefault(one.name, set()).update(_columns(row))
        if one.name not in names:
            names.add(one.name)
            how = match.how or "new"
            report.matched[how] = report.matched.get(how, 0) + 1
    report.devices = len({match.key for _, _, match in said.rows})
    return raw, clean


def _columns(row: Row) -> set[str]:
    found = {".".join(name.split(".")[:3]) for name in row.values}
    return found | {f"price {price.kind}" for price in row.prices} | {result.quantity for result in row.results}


def _origin(about: SourceRow, row: Row) -> SourceRow:
    assert row.origin is not None
    where, date, licence = row.origin.where, row.origin.date, row.origin.licence
    title = f"{about.title}: {where}"
    return replace(about, key=f"{about.key}/{where} {date}", title=title, address=where, date=date, licence=licence)


def _twice(first: Row, row: Row) -> str:
    differ = sorted(name for name in first.values.keys() | row.values.keys()
                    if first.values.get(name) != row.values.get(name))  # fmt: skip
    return "a second row of that name, " + (f"with other {', '.join(differ[:3])}" if differ else "the same")


def _once(row: Row, source: str, device: str, listed: set[tuple[Any, ...]], report: Report) -> Row:
    """The row without prices and results that stood before."""
    prices: list[Price] = []
    results: list[Result] = []
    for price in row.prices:
        mark = (source, device, price.kind, price.provider, price.region, price.instance, price.count)
        if mark in listed:
            why = "a second price of the same offer"
            report.findings.append(rules.Finding(row.at, row.name, "twice", f"price {price.kind}", price.usd, why))
        else:
            prices.append(price)
        listed.add(mark)
    for result in row.results:
        mark_of = (source, result.row, result.quantity)
        if mark_of in listed:
            why = f"a second {result.quantity} of the result {result.row}"
            report.findings.append(rules.Finding(row.at, row.name, "twice", result.quantity, result.value, why))
        else:
            results.append(result)
        listed.add(mark_of)
    return replace(row, prices=tuple(prices), results=tuple(results))


def _propose(said: Statements, matcher: Matcher, report: Report) -> None:
    """For each name that is new, the known device that it may mean."""
    new: dict[str, tuple[str, Row]] = {}
    for source, row, match in said.rows:
        if not match.score:
            new.setdefault(row.name, (source, row))
    for name, (source, row) in new.items():
        near = matcher.propose(name, row.manufacturer)
        if near is not None:
            said.proposals.append((source, name, near))
            report.proposals.append(Proposal(name, near.name, near.score, near.reason))


def _architectures(connection: Connection, said: Statements) -> tuple[float, float]:
    """Share of the devices spoken of whose architecture is unknown: by these rows alone, and by all sources."""
    keys = {match.key for _, _, match in said.rows}
    own = {match.key for _, row, match in said.rows if "architecture" in row.values}
    chip = schema.chip_specs.c
    told = sa.select(schema.devices.c.key).join_from(schema.devices, schema.chip_specs)
    told = told.where(chip.architecture_id.is_not(None)).distinct()
    now = keys & set(connection.execute(told).scalars())
    return (1 - len(own) / len(keys), 1 - len(now) / len(keys)) if keys else (0.0, 0.0)
