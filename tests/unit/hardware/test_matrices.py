"""Matrices: a cell is a stated value, a score or a ratio of two; None where one is missing, and counted."""

import pytest

from netwright.hardware import catalog, matrices
from netwright.hardware.device import Device

CARDS = (
    Device(name="A", manufacturer="X", kind="gpu", rates={"fp32": 2e13, "bf16": 1e14}, bandwidth=1e12, memory=16e9,
           power=200, price=1000, year=2024),
    Device(name="B", manufacturer="Y", kind="gpu", rates={"fp32": 1e13}, bandwidth=5e11, memory=8e9),
)  # fmt: skip


@pytest.mark.parametrize("name", matrices.MATRICES)
def test_every_matrix_has_a_row_a_device_and_a_cell_a_column(name):
    found = matrices.matrix(name, CARDS)
    assert [row[0] for row in found.rows] == ["A", "B"]
    assert all(len(row) == len(found.columns) for row in found.rows)
    assert set(found.coverage) == set(found.columns)
    assert 0 <= found.total <= 1


def test_cells_and_coverage():
    found = matrices.matrix("price-performance", CARDS, {"B": {"g3d": 9000.0}})
    first = dict(zip(found.columns, found.rows[0], strict=True))
    assert first["half_per_dollar"] == 1e11
    assert first["memory_per_dollar"] == 16e6
    assert found.rows[1][1:] == (None,) * (len(found.columns) - 1)
    assert found.coverage["price"] == 0.5
    assert found.coverage["g3d_per_dollar"] == 0.0  # a score without a price
    graphics = matrices.matrix("graphics", CARDS, {"B": {"g3d": 9000.0}})
    assert graphics.coverage["g3d"] == 0.5


def test_no_matrix_of_nothing_divides_by_zero():
    found = matrices.matrix("unified", ())
    assert found.rows == ()
    assert found.total == 0.0


def test_the_unified_matrix_holds_every_column_of_the_others():
    every = {column for columns in matrices.MATRICES.values() for column in columns}
    assert every == set(matrices.MATRICES["unified"])


def test_the_catalogue_fills_what_every_device_must_have():
    found = matrices.matrix("complete", catalog.all())
    assert found.coverage["bandwidth"] == found.coverage["memory"] == found.coverage["manufacturer"] == 1.0
    assert found.coverage["half"] > 0.5
