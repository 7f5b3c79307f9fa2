"""The views say what the functions say, in SQLite and on a real PostgreSQL server; the migrations hold them."""

import datetime
import importlib.util
from pathlib import Path

import pytest
import sqlalchemy as sa

from netwright.core import db
from netwright.hardware import catalog, derived, etl, matrices, schema, tiers, views
from netwright.hardware.device import Device

CARDS = (
    Device(name="A One", manufacturer="A", kind="gpu", architecture="First", rates={"fp32": 6e13, "bf16": 8e14},
           bandwidth=2e12, memory=1e11, power=500, price=20000, year=2023, units=100),
    Device(name="A Two", manufacturer="A", kind="gpu", architecture="First", rates={"fp32": 3e13, "fp16": 2e14},
           bandwidth=8e11, memory=2.4e10, power=300, narrow=True, year=2021),
    Device(name="B Three", manufacturer="B", kind="accelerator", rates={"int8": 1e14}, bandwidth=1e11, memory=8e9),
)  # fmt: skip


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request, tmp_path, monkeypatch):
    monkeypatch.delenv(db.VARIABLE, raising=False)
    if request.param == "postgres":
        monkeypatch.setenv(db.VARIABLE, request.getfixturevalue("postgres_url"))
    opened = db.engine(tmp_path / "runs")
    try:
        with opened.begin() as connection:
            fill(connection)
        yield opened
    finally:
        opened.dispose()


def fill(connection) -> None:
    def add(table, *rows):
        connection.execute(table.insert(), list(rows))

    add(schema.manufacturers, {"id": 1, "name": "A"}, {"id": 2, "name": "B"})
    add(schema.architectures, {"id": 1, "manufacturer_id": 1, "name": "First"})
    add(schema.categories, {"id": 1, "name": "GPU", "kind": "gpu"}, {"id": 2, "name": "TPU", "kind": "accelerator"})
    about = {"title": "t", "address": "a", "licence": "MIT", "date": "", "sha256": "0" * 64}
    add(
        schema.sources,
        {"id": 1, "key": "good", "priority": 1, **about},
        {"id": 2, "key": "bad", "priority": 2, **about},
    )
    add(schema.workloads, {"id": 1, "name": "Geekbench 5 CUDA"}, {"id": 2, "name": "something else"})
    for at, card in enumerate(CARDS, 1):
        maker = 1 if card.manufacturer == "A" else 2
        add(schema.devices, {"id": at, "key": f"k{at}", "name": card.name, "manufacturer_id": maker,
                             "category_id": 1 if card.kind == "gpu" else 2})  # fmt: skip
        chip = {"device_id": at, "power": card.power, "units": card.units, "released": None, "architecture_id": None}
        chip |= {"released": datetime.date(card.year, 6, 1)} if card.year else {}
        add(schema.chip_specs, {**chip, "source_id": 1, "architecture_id": 1 if card.architecture else None})
        if at == 1:
            add(schema.chip_specs, {**chip, "source_id": 2, "power": 1.0, "units": 1, "architecture_id": None})
        add(
            schema.memory_specs, {"device_id": at, "source_id": 1, "capacity": card.memory, "bandwidth": card.bandwidth}
        )
        for dtype, rate in card.rates.items():
            unit, sums = ("vector", "fp32") if dtype == "fp32" else ("matrix", "fp16" if card.narrow else "fp32")
            about = {"device_id": at, "source_id": 1, "dtype": dtype, "unit": unit, "accumulate": sums}
            add(schema.peak_rates, {**about, "sparsity": "dense", "value": rate})
            add(schema.peak_rates, {**about, "sparsity": "sparse", "value": 2 * rate})
            add(schema.peak_rates, {**about, "source_id": 2, "unit": "vector", "sparsity": "dense", "value": 1.0})
        if card.price:
            about = {"device_id": at, "source_id": 1, "provider": "", "region": "", "instance": "", "note": ""}
            add(schema.prices, {**about, "kind": "release", "usd": 2 * card.price, "count": 2, "date": None})
            add(schema.prices, {**about, "kind": "spot", "usd": 1.0, "count": 1, "date": None})
    about = {"source_id": 1, "quantity": "score", "unit": "points", "count": 1, "conditions": {}}
    add(schema.hardware_measurements, {**about, "device_id": 1, "workload_id": 1, "row": "1", "value": 1000.0},
        {**about, "device_id": 1, "workload_id": 2, "row": "2", "value": 9.0})  # fmt: skip


@pytest.mark.parametrize("name", matrices.MATRICES)
def test_a_view_is_the_matrix(engine, name):
    expected = matrices.matrix(name, CARDS, {"A One": {"cuda": 1000.0}})
    with engine.connect() as connection:
        found = connection.execute(sa.text(f"SELECT * FROM {views.view(name)} ORDER BY name"))
        assert tuple(found.keys()) == expected.columns
        for row, wanted in zip(found.all(), expected.rows, strict=True):
            for column, cell, want in zip(expected.columns, row, wanted, strict=True):
                assert cell == (pytest.approx(want, rel=1e-12) if isinstance(want, float) else want), column


def test_tiers(engine):
    with engine.connect() as connection:
        found = {name: (one, two) for name, one, two in connection.execute(sa.text("SELECT * FROM tiers"))}
    assert found == {card.name: (tiers.tier(card), tiers.ai_tier(card)) for card in CARDS}
    assert found["A One"] == ("Ultra", "AI_Flagship")


def test_coverage(engine):
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT name, filled, devices FROM coverage"))
        found = {name: filled / devices for name, filled, devices in rows}
    expected = dict(matrices.matrix("unified", CARDS, {"A One": {"cuda": 1.0}}).coverage)
    assert found == pytest.approx({name: share for name, share in expected.items() if name != "name"})


def test_halves_count_half(engine):
    with engine.connect() as connection:
        found = dict(map(tuple, connection.execute(sa.text("SELECT name, half FROM device_values"))))
    assert found == {card.name: derived.half(card) for card in CARDS}


def test_scores_are_by_device_and_column(engine, tmp_path):
    assert views.scores(tmp_path / "runs") == {"A One": {"cuda": 1000.0}}


def test_the_views_of_what_ships_are_the_catalogue(tmp_path, monkeypatch):
    monkeypatch.delenv(db.VARIABLE, raising=False)
    opened = db.engine(tmp_path)
    etl.run("seed", None, opened)
    with opened.connect() as connection:
        rows = {row["name"]: row for row in connection.execute(sa.text("SELECT * FROM matrix_unified")).mappings()}
    opened.dispose()
    differ = [
        (device.name, column, wanted, rows[device.name][column])
        for device in catalog.all(tmp_path)
        for column in matrices.MATRICES["unified"]
        if (wanted := matrices.cell(device, column)) != rows[device.name][column]
        and not (isinstance(wanted, float) and wanted == pytest.approx(rows[device.name][column], rel=1e-9))
    ]
    assert differ == []


def test_the_newest_migration_holds_these_views():
    folder = Path(db.__file__).parent / "migrations" / "versions"
    newest = max(folder.glob("*_views.py"))
    spec = importlib.util.spec_from_file_location("newest", newest)
    migration = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(migration)
    assert views.statements() == migration.VIEWS, "views have changed: write a migration that makes them anew"
