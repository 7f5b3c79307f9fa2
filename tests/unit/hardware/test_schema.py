"""The catalogue's tables refuse what cannot be, on SQLite and on a real PostgreSQL server."""

import math

import pytest
import sqlalchemy as sa

from netwright.core import db
from netwright.hardware import schema


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request, tmp_path, monkeypatch):
    monkeypatch.delenv(db.VARIABLE, raising=False)
    if request.param == "postgres":
        monkeypatch.setenv(db.VARIABLE, request.getfixturevalue("postgres_url"))
    opened = db.engine(tmp_path / "runs")
    with opened.begin() as connection:
        connection.execute(schema.manufacturers.insert(), {"id": 1, "name": "NVIDIA"})
        connection.execute(schema.categories.insert(), {"id": 1, "name": "desktop GPU", "kind": "gpu"})
        for key, priority in (("good", 1), ("poor", 2)):
            about = {"title": key, "address": "a", "licence": "MIT", "date": "", "sha256": "0" * 64}
            connection.execute(schema.sources.insert(), {"id": priority, "key": key, "priority": priority, **about})
        device = {"id": 1, "key": "nvidiaone", "name": "NVIDIA One", "manufacturer_id": 1, "category_id": 1}
        connection.execute(schema.devices.insert(), device)
    yield opened
    opened.dispose()


RATE = {"device_id": 1, "source_id": 1, "dtype": "fp16", "unit": "matrix", "accumulate": "fp32", "sparsity": "dense"}
MEASURED = {"device_id": 1, "workload_id": 1, "source_id": 1, "row": "1", "quantity": "latency", "unit": "s"}
IMPUTED = {"device_id": 1, "quantity": "power", "level": 0.9, "method": "median", "note": ""}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("peak_rates", RATE | {"value": -1.0}),
        ("peak_rates", RATE | {"value": 0.0}),
        ("peak_rates", RATE | {"value": math.inf}),
        ("peak_rates", RATE | {"value": math.nan}),
        ("peak_rates", RATE | {"value": 1.0, "dtype": "fp17"}),
        ("peak_rates", RATE | {"value": 1.0, "sparsity": "2:4"}),
        ("peak_rates", RATE | {"value": 1.0, "device_id": 2}),
        ("peak_rates", RATE | {"value": 1.0, "source_id": 3}),
        ("chip_specs", {"device_id": 1, "source_id": 1, "power": -5.0}),
        ("memory_specs", {"device_id": 1, "source_id": 1, "capacity": 0.0}),
        ("categories", {"name": "toaster", "kind": "toaster"}),
        ("imputed_values", IMPUTED | {"value": 3.0, "low": 1.0, "high": 2.0}),
        ("hardware_measurements", MEASURED | {"value": 1.0, "count": 1, "conditions": {}}),
        ("devices", {"key": "nvidiaone", "name": "NVIDIA One", "manufacturer_id": 1, "category_id": 1}),
    ],
)
def test_impossible_rows_are_refused(engine, table, row):
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(db.schema.tables[table].insert(), row)


def test_each_value_comes_from_the_source_that_is_believed_first(engine):
    chip, memory, rates = schema.chip_specs, schema.memory_specs, schema.peak_rates
    with engine.begin() as connection:
        rows = [{"device_id": 1, "source_id": 2, "power": 400.0, "units": 5}]
        rows += [{"device_id": 1, "source_id": 1, "power": 350.0, "units": None}]
        connection.execute(chip.insert(), rows)
        connection.execute(memory.insert(), {"device_id": 1, "source_id": 2, "capacity": 8e9})
        connection.execute(rates.insert(), [RATE | {"value": 2e14, "sparsity": "sparse"}, RATE | {"value": 1e14}])
        connection.execute(rates.insert(), RATE | {"source_id": 2, "value": 9e14})
        (row,) = connection.execute(schema.merged()).mappings()
    assert (row["power"], row["units"], row["memory"], row["fp16"]) == (350.0, 5, 8e9, 1e14)
    assert (row["name"], row["manufacturer"], row["kind"], row["bandwidth"]) == ("NVIDIA One", "NVIDIA", "gpu", None)


def test_a_source_that_goes_takes_its_statements_along_and_leaves_the_device(engine):
    with engine.begin() as connection:
        connection.execute(schema.peak_rates.insert(), RATE | {"value": 1e14})
        connection.execute(schema.sources.delete().where(schema.sources.c.id == 1))
        assert connection.execute(schema.peak_rates.select()).all() == []
        assert len(connection.execute(schema.devices.select()).all()) == 1
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(schema.manufacturers.delete())


def test_every_reference_and_every_key_that_is_searched_has_an_index():
    for table in schema.TABLES:
        leading = {next(iter(index.columns)).name for index in table.indexes}
        leading |= {next(iter(k.columns)).name for k in table.constraints if isinstance(k, sa.UniqueConstraint)}
        leading |= {next(iter(table.primary_key.columns)).name}
        missing = {column.name for column in table.columns if column.foreign_keys} - leading
        assert not missing, f"{table.name}: {missing}"
