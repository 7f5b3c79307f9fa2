"""The catalogue as normalized tables, beside the runs in one database.

    engine = db.engine(Path("runs"))
    with engine.connect() as connection:
        connection.execute(sa.select(devices.c.name).where(devices.c.key == "nvidia:h100sxm"))

Every value stands with the source that states it: two sources may state the power of one device, and
both are kept (`chip_specs`, `memory_specs`, `peak_rates`, `prices`, `hardware_measurements` have a
`source_id`). `sources.priority` says who is believed where they differ, smaller first; `merged` picks
value by value. Measured, imputed and predicted numbers have tables of their own and never mix.
All numbers are in SI units: B, B/s, FLOP/s, Hz, W, m, m^2. No table knows how its rows were obtained.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from netwright.core.db import schema
from netwright.hardware.device import DTYPES

KINDS = ("cpu", "gpu", "accelerator")
UNITS = ("vector", "matrix")
ACCUMULATE = ("fp16", "fp32", "int32", "unknown")
SPARSITY = ("dense", "sparse")
PRICES = ("release", "street", "on_demand", "spot")
STATUSES = ("candidate", "promoted", "retired")


def positive(*names: str) -> list[sa.CheckConstraint]:
    """Columns that are NULL or positive and finite; PostgreSQL takes NaN for more than any number."""
    return [sa.CheckConstraint(f"{name} > 0 AND {name} < 1e30", name=f"positive_{name}") for name in names]


def among(name: str, allowed: Iterable[str]) -> sa.CheckConstraint:
    """A column that holds one of a few words."""
    return sa.CheckConstraint(f"{name} IN ({', '.join(map(repr, allowed))})", name=f"known_{name}")


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True)


def _of(table: str, *, null: bool = False, keep: bool = False, index: bool = True, key: bool = False) -> sa.Column[int]:
    """A reference; rows go with what they refer to, unless that must not go before them (`keep`)."""
    name = {"categories": "category", "processes": "process"}.get(table, table.removesuffix("s"))
    target = sa.ForeignKey(f"{table}.id", ondelete="RESTRICT" if keep else "CASCADE")
    return sa.Column(f"{name}_id", target, nullable=null, index=index, primary_key=key)


manufacturers = sa.Table("manufacturers", schema, _id(), sa.Column("name", sa.String, nullable=False, unique=True))

architectures = sa.Table(
    "architectures",
    schema,
    _id(),
    _of("manufacturers", keep=True, index=False),
    sa.Column("name", sa.String, nullable=False),
    sa.UniqueConstraint("manufacturer_id", "name"),
)

categories = sa.Table(
    "categories",
    schema,
    _id(),
    sa.Column("name", sa.String, nullable=False, unique=True),
    sa.Column("kind", sa.String, nullable=False),
    among("kind", KINDS),
)
"""What a device is sold as: "desktop GPU", "TPU"; `kind` is that of `Device`."""

processes = sa.Table(
    "processes",
    schema,
    _id(),
    sa.Column("foundry", sa.String, nullable=False),
    sa.Column("node", sa.Double, nullable=False),
    sa.UniqueConstraint("foundry", "node"),
    *positive("node"),
)
"""Process technology: who makes the die ("" where unsaid), and what they call the node, m."""

sources = sa.Table(
    "sources",
    schema,
    _id(),
    sa.Column("key", sa.String, nullable=False, unique=True),
    sa.Column("title", sa.String, nullable=False),
    sa.Column("address", sa.String, nullable=False),
    sa.Column("licence", sa.String, nullable=False),
    sa.Column("date", sa.String, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
)
"""Who states something: `sha256` of what was read, `date` as far as it is known ("2026-11", "")."""

devices = sa.Table(
    "devices",
    schema,
    _id(),
    sa.Column("key", sa.String, nullable=False, unique=True),
    sa.Column("name", sa.String, nullable=False),
    _of("manufacturers", keep=True),
    _of("categories", keep=True),
)
"""`key` is that of `names.device_key`: "nvidia:h100sxm"."""

device_aliases = sa.Table(
    "device_aliases",
    schema,
    _id(),
    sa.Column("alias", sa.String, nullable=False),
    sa.Column("key", sa.String, nullable=False, index=True),
    _of("devices"),
    _of("sources"),
    sa.Column("match_score", sa.Double, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("reviewed", sa.Boolean, nullable=False),
    sa.UniqueConstraint("source_id", "alias"),
    sa.CheckConstraint("match_score BETWEEN 0 AND 1", name="score_between"),
)
"""What a source calls a device, and that name's key (`names.key`). Nothing is merged by rows that nobody reviewed."""

chip_specs = sa.Table(
    "chip_specs",
    schema,
    _of("devices", key=True, index=False),
    _of("sources", key=True),
    _of("architectures", null=True, keep=True),
    _of("processes", null=True, keep=True),
    sa.Column("chip", sa.String),
    sa.Column("form_factor", sa.String),
    sa.Column("released", sa.Date, index=True),
    sa.Column("year", sa.Integer),
    sa.Column("units", sa.Integer),
    sa.Column("lanes", sa.Integer),
    sa.Column("matrix_units", sa.Integer),
    sa.Column("base_clock", sa.Double),
    sa.Column("clock", sa.Double),
    sa.Column("cache", sa.Double),
    sa.Column("power", sa.Double),
    sa.Column("die_area", sa.Double),
    sa.Column("transistors", sa.Double),
    sa.Column("link", sa.Double),
    sa.Column("host_link", sa.Double),
    sa.Column("network", sa.Double),
    *positive("units", "lanes", "matrix_units", "base_clock", "clock", "cache", "power", "die_area", "transistors"),
    *positive("link", "host_link", "network"),
)
"""As in `Device`; `lanes` are fp32 multiply-adds per cycle, `matrix_units` tensor cores and the like."""

memory_specs = sa.Table(
    "memory_specs",
    schema,
    _of("devices", key=True, index=False),
    _of("sources", key=True),
    sa.Column("type", sa.String),
    sa.Column("capacity", sa.Double),
    sa.Column("bandwidth", sa.Double),
    sa.Column("bus_width", sa.Integer),
    sa.Column("clock", sa.Double),
    *positive("capacity", "bandwidth", "bus_width", "clock"),
)
"""Main memory: capacity B, bandwidth B/s, bus width bits, clock Hz as the source counts it."""

peak_rates = sa.Table(
    "peak_rates",
    schema,
    _id(),
    _of("devices"),
    _of("sources"),
    sa.Column("dtype", sa.String, nullable=False),
    sa.Column("unit", sa.String, nullable=False),
    sa.Column("accumulate", sa.String, nullable=False),
    sa.Column("sparsity", sa.String, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.UniqueConstraint("device_id", "source_id", "dtype", "unit", "accumulate", "sparsity"),
    among("dtype", DTYPES),
    among("unit", UNITS),
    among("accumulate", ACCUMULATE),
    among("sparsity", SPARSITY),
    *positive("value"),
)
"""FLOP/s, or operations per second for integers."""

prices = sa.Table(
    "prices",
    schema,
    _id(),
    _of("devices"),
    _of("sources"),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("usd", sa.Double, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("provider", sa.String, nullable=False),
    sa.Column("region", sa.String, nullable=False),
    sa.Column("instance", sa.String, nullable=False),
    sa.Column("date", sa.Date),
    sa.Column("note", sa.String, nullable=False),
    sa.UniqueConstraint("device_id", "source_id", "kind", "provider", "region", "instance", "count"),
    among("kind", PRICES),
    *positive("usd", "count"),
)
"""USD of `count` devices together: once for "release" and "street", per hour for "on_demand" and "spot"."""

workloads = sa.Table(
    "workloads",
    schema,
    _id(),
    sa.Column("name", sa.String, nullable=False, unique=True),
    sa.Column("flops", sa.Double),
    sa.Column("bytes", sa.Double),
    sa.Column("parameters", sa.Double),
    *positive("flops", "bytes", "parameters"),
)
"""What was run; FLOPs and bytes of one item where they are known."""

hardware_measurements = sa.Table(
    "hardware_measurements",
    schema,
    _id(),
    _of("devices"),
    _of("workloads"),
    _of("sources"),
    sa.Column("row", sa.String, nullable=False),
    sa.Column("quantity", sa.String, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("unit", sa.String, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("dtype", sa.String),
    sa.Column("batch", sa.Integer),
    sa.Column("conditions", sa.JSON, nullable=False),
    sa.UniqueConstraint("source_id", "row", "quantity"),
    *positive("value", "count", "batch"),
)
"""What others measured, on `count` devices together; `row` names the result at its source, `conditions` cites it."""

imputed_values = sa.Table(
    "imputed_values",
    schema,
    _id(),
    _of("devices"),
    sa.Column("quantity", sa.String, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("low", sa.Double, nullable=False),
    sa.Column("high", sa.Double, nullable=False),
    sa.Column("level", sa.Double, nullable=False),
    sa.Column("method", sa.String, nullable=False),
    sa.Column("note", sa.String, nullable=False),
    sa.UniqueConstraint("device_id", "quantity", "method"),
    sa.CheckConstraint("low <= value AND value <= high AND level > 0 AND level < 1", name="interval"),
    *positive("value", "low", "high"),
)
"""Guesses with their interval, by quantity ("power", "rates.fp16") and method; never read as measured."""

model_runs = sa.Table(
    "model_runs",
    schema,
    _id(),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("created", sa.String, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.UniqueConstraint("name", "version"),
    among("status", STATUSES),
)
"""Fitted predictors: the digest of the file, and errors by frozen split."""

predictions = sa.Table(
    "predictions",
    schema,
    _id(),
    _of("model_runs"),
    _of("devices"),
    _of("workloads"),
    sa.Column("quantity", sa.String, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("low", sa.Double, nullable=False),
    sa.Column("high", sa.Double, nullable=False),
    sa.Column("level", sa.Double, nullable=False),
    sa.Column("unit", sa.String, nullable=False),
    sa.Column("in_range", sa.Boolean, nullable=False),
    sa.Column("created", sa.String, nullable=False),
    sa.Column("conditions", sa.JSON, nullable=False),
    sa.CheckConstraint("low <= value AND value <= high AND level > 0 AND level < 1", name="interval"),
)

TABLES = (
    manufacturers, architectures, categories, processes, sources, devices, device_aliases, chip_specs, memory_specs,
    peak_rates, prices, workloads, hardware_measurements, imputed_values, model_runs, predictions,
)  # fmt: skip
"""All tables of the catalogue, each after those it refers to."""


def merged() -> sa.Select[Any]:
    """One row a device, each value from the source that is believed first of those that state it.

    Columns: id, name, manufacturer, category, kind, architecture, foundry, process, those of
    `chip_specs` and `memory_specs` (capacity as `memory`, type as `memory_type`), and `fp64` ... `int4`:
    the dense rate of matrix units, of vector units where no source states one or for fp32 and fp64.
    """
    chip = {c.name: _best(c, chip_specs) for c in chip_specs.columns if not c.name.endswith("_id")}
    named = {"capacity": "memory", "type": "memory_type", "clock": "memory_clock"}
    memory = {named.get(c.name, c.name): _best(c, memory_specs) for c in memory_specs.columns if "_id" not in c.name}
    architecture = _through(architectures.c.name, chip_specs.c.architecture_id, architectures)
    foundry = _through(processes.c.foundry, chip_specs.c.process_id, processes)
    process = _through(processes.c.node, chip_specs.c.process_id, processes)
    rates = {dtype: _best_rate(dtype) for dtype in DTYPES}
    columns: dict[str, sa.ScalarSelect[Any]] = {
        "architecture": architecture,
        "foundry": foundry,
        "process": process,
        **chip,
        **memory,
        **rates,
    }
    return sa.select(
        devices.c.id,
        devices.c.name,
        manufacturers.c.name.label("manufacturer"),
        categories.c.name.label("category"),
        categories.c.kind,
        *(column.label(name) for name, column in columns.items()),
    ).select_from(devices.join(manufacturers).join(categories))


def _best(column: sa.Column[Any], table: sa.Table) -> sa.ScalarSelect[Any]:
    stated = sa.select(column).join_from(table, sources).where(table.c.device_id == devices.c.id, column.is_not(None))
    return stated.order_by(sources.c.priority, sources.c.key).limit(1).scalar_subquery()


def _through(column: sa.Column[Any], by: sa.Column[int], other: sa.Table) -> sa.ScalarSelect[Any]:
    stated = sa.select(column).select_from(chip_specs.join(sources).join(other, other.c.id == by))
    stated = stated.where(chip_specs.c.device_id == devices.c.id)
    return stated.order_by(sources.c.priority, sources.c.key).limit(1).scalar_subquery()


def _best_rate(dtype: str) -> sa.ScalarSelect[Any]:
    rate = peak_rates.c
    stated = sa.select(rate.value).join_from(peak_rates, sources)
    stated = stated.where(rate.device_id == devices.c.id, rate.dtype == dtype, rate.sparsity == "dense")
    units = rate.unit.desc() if dtype in ("fp32", "fp64") else rate.unit  # "matrix" before "vector"
    return stated.order_by(units, sources.c.priority, sources.c.key, rate.value.desc()).limit(1).scalar_subquery()
