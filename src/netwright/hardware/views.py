"""The matrices and tiers as SQL views over the catalogue's tables, alike in SQLite and PostgreSQL.

    connection.execute(sa.text("SELECT name, half_per_watt FROM matrix_compute ORDER BY 2 DESC"))

`device_values` has one row a device, each value from the source that is believed first, as `Device` has it; `tiers`
and one `matrix_...` for each of `matrices.MATRICES` select from it, and `coverage` counts what is filled. The
migrations hold `statements()` as text, and a test keeps the two alike. Views hold no data of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from netwright.hardware import layers, matrices, schema, tiers
from netwright.hardware.device import DTYPES

VALUES = "device_values"


def selects() -> dict[str, sa.Select[Any]]:
    """Name of each view -> its query, in an order in which they can be made."""
    texts = [sa.column(name, sa.Text) for name in ("name", *matrices.TEXTS)]
    values = sa.table(VALUES, *texts, *(sa.column(name, sa.Double) for name in (*matrices.NUMBERS, *matrices.SCORES)))
    found: dict[str, sa.Select[Any]] = {VALUES: _device_values(), "tiers": _tiers(values)}
    for name, columns in matrices.MATRICES.items():
        shown = [_column(values, column).label(column) for column in columns]
        found[view(name)] = sa.select(values.c.name, *shown)
    found["coverage"] = _coverage()
    return found


def view(matrix: str) -> str:
    """What the view of a matrix is called."""
    return "matrix_" + matrix.replace("-", "_")


def statements() -> tuple[str, ...]:
    """CREATE VIEW for every view, in one text that both databases take."""
    return tuple(f"CREATE VIEW {name} AS\n{_text(query)}" for name, query in selects().items())


def _text(query: sa.Select[Any]) -> str:
    compiled = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    return "\n".join(line.rstrip() for line in str(compiled).splitlines())


CHIP = ("power", "units", "clock", "cache", "link", "host_link", "network", "die_area", "transistors")


def _device_values() -> sa.Select[Any]:
    """One row a device. Joins of grouped queries: a subquery a cell takes PostgreSQL a minute to plan."""
    device = schema.devices.c
    rates, chips, memory, prices, scores = _rates(), _chips(), _memory(), _prices(), _scores()
    shown = {
        name: table.c[name] for table in (rates, chips, memory, prices, scores) for name in [c.name for c in table.c]
    }
    joined = schema.devices.join(schema.manufacturers).join(schema.categories)
    for table in (rates, chips, memory, prices, scores):
        joined = joined.outerjoin(table, table.c.device_id == device.id)
    texts = (schema.manufacturers.c.name.label("manufacturer"), schema.categories.c.kind, chips.c.architecture)
    numbers = (shown[name].label(name) for name in (*matrices.NUMBERS, *matrices.SCORES))
    return sa.select(device.id.label("device_id"), device.name, *texts, *numbers).select_from(joined)


def _rates() -> sa.Subquery:
    """As `layers` chooses: the units that compute a dtype, then 32-bit accumulation, then who is believed."""
    rate = schema.peak_rates.c
    own = sa.case((rate.dtype.in_(("fp32", "fp64")), "vector"), else_="matrix")
    other = schema.peak_rates.alias("other").c
    matrix = sa.union(
        sa.select(other.device_id).where(other.unit == "matrix"),
        sa.select(schema.chip_specs.c.device_id).where(schema.chip_specs.c.matrix_units.is_not(None)),
    )
    order = (sa.case((rate.unit == own, 0), else_=1), sa.case((rate.accumulate == "fp16", 1), else_=0), *_believed())
    ranked = (
        sa.select(
            rate.device_id, rate.dtype, rate.value,
            sa.case((rate.accumulate == "fp16", rate.value / 2.0), else_=rate.value).label("halved"),
            sa.func.row_number().over(partition_by=(rate.device_id, rate.dtype), order_by=order).label("rank"),
        )
        .join_from(schema.peak_rates, schema.sources)
        .where(rate.sparsity == "dense", _trusted(rate.device_id))
        .where(sa.or_(rate.unit == own, own == "vector", rate.device_id.not_in(matrix)))
        .subquery("ranked")
    )  # fmt: skip

    def of(dtype: str, column: str = "value") -> Any:
        return sa.func.max(sa.case((ranked.c.dtype == dtype, ranked.c[column])))

    half = sa.func.coalesce(of("bf16", "halved"), of("fp16", "halved")).label("half")
    pivoted = sa.select(ranked.c.device_id, *(of(dtype).label(dtype) for dtype in DTYPES), half)
    return pivoted.where(ranked.c.rank == 1).group_by(ranked.c.device_id).subquery("rates")


def _chips() -> sa.Subquery:
    chip = schema.chip_specs.c
    year = sa.func.coalesce(chip.year, sa.cast(sa.func.substr(sa.cast(chip.released, sa.Text), 1, 4), sa.Integer))
    named = {"architecture": schema.architectures.c.name, "process": schema.processes.c.node, "year": year}
    joined = schema.chip_specs.join(schema.sources).outerjoin(schema.architectures).outerjoin(schema.processes)
    columns = named | {name: chip[name] for name in CHIP}
    found = [_first(column, chip.device_id).label(name) for name, column in columns.items()]
    chosen = sa.select(chip.device_id, *found).select_from(joined).where(_trusted(chip.device_id))
    return chosen.distinct().subquery("chips")


def _memory() -> sa.Subquery:
    spec = schema.memory_specs.c
    columns = {"memory": spec.capacity, "bandwidth": spec.bandwidth}
    found = [_first(column, spec.device_id).label(name) for name, column in columns.items()]
    chosen = sa.select(spec.device_id, *found).join_from(schema.memory_specs, schema.sources)
    return chosen.where(_trusted(spec.device_id)).distinct().subquery("stores")


def _prices() -> sa.Subquery:
    price = schema.prices.c
    first = _first(price.usd / price.count, price.device_id).label("price")
    found = sa.select(price.device_id, first).join_from(schema.prices, schema.sources)
    return found.where(price.kind == "release", _trusted(price.device_id)).distinct().subquery("releases")


def _scores() -> sa.Subquery:
    """The highest of each score that was imported."""
    measured, workload = schema.hardware_measurements.c, schema.workloads.c
    found = [sa.func.max(sa.case((workload.name == text, measured.value))).label(name)
             for name, text in matrices.SCORES.items()]  # fmt: skip
    joined = schema.hardware_measurements.join(schema.workloads)
    return sa.select(measured.device_id, *found).select_from(joined).group_by(measured.device_id).subquery("scores")


def _trusted(device: Any) -> Any:
    """As `catalog` has it: what a curated device lacks was left out on purpose; only one's own tables add to it."""
    spec, source = schema.memory_specs.alias("curated"), schema.sources.alias("curator")
    curated = sa.select(spec.c.device_id).join_from(spec, source).where(sa.func.substr(source.c.key, 1, 7) == "curated")
    return sa.or_(schema.sources.c.priority <= layers.OWN, device.not_in(curated))


def _first(column: Any, device: Any) -> Any:
    """The value of the source that is believed first among those that state one."""
    return sa.func.first_value(column).over(partition_by=device, order_by=(column.is_(None), *_believed()))


def scores(runs: Path) -> dict[str, dict[str, float]]:
    """Device -> column of `matrices.SCORES` -> the highest score that was imported."""
    from netwright.core import db

    measured, named = schema.hardware_measurements, {text: name for name, text in matrices.SCORES.items()}
    query = (
        sa.select(schema.devices.c.name, schema.workloads.c.name, sa.func.max(measured.c.value))
        .select_from(measured.join(schema.devices).join(schema.workloads))
        .where(schema.workloads.c.name.in_(named))
        .group_by(schema.devices.c.name, schema.workloads.c.name)
    )
    found: dict[str, dict[str, float]] = {}
    engine = db.engine(runs)
    try:
        with engine.connect().execution_options(reading=True) as connection:
            for device, workload, value in connection.execute(query):
                found.setdefault(device, {})[named[workload]] = float(value)
    finally:
        engine.dispose()
    return found


def _believed() -> tuple[Any, Any]:
    return schema.sources.c.priority, schema.sources.c.key


def _column(values: sa.TableClause, name: str) -> Any:
    if name in matrices.RATIOS:
        above, below = matrices.RATIOS[name]
        return values.c[above] / values.c[below]
    if name in matrices.TIERS:
        return _general(values) if name == "tier" else _ai(values)
    return values.c[name]


def _tiers(values: sa.TableClause) -> sa.Select[Any]:
    return sa.select(values.c.name, _general(values).label("tier"), _ai(values).label("ai_tier"))


def _general(values: sa.TableClause) -> Any:
    return _ladder(tiers.GENERAL, values.c.fp32, values.c.bandwidth)


def _ai(values: sa.TableClause) -> Any:
    return _ladder(tiers.AI, values.c.half, values.c.memory)


def _ladder(steps: tuple[tiers.Tier, ...], rate: Any, room: Any) -> Any:
    return sa.case(*((sa.and_(rate >= step.rate, room >= step.room), step.name) for step in steps), else_=None)


def _coverage() -> Any:
    """One row a column: how many devices fill it, of how many; every matrix holds all devices. Counted in one pass."""
    columns = matrices.MATRICES["unified"]
    table = sa.table(view("unified"), *map(sa.column, columns))
    filled = [sa.func.count(table.c[name]).label(name) for name in columns]
    counts = sa.select(sa.func.count().label("devices"), *filled).select_from(table).cte("counts")
    rows = (
        sa.select(sa.literal(name).label("name"), counts.c[name].label("filled"), counts.c.devices) for name in columns
    )
    return sa.union_all(*rows)
