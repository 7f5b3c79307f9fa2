"""What no peak rate is believed on: rules about the arithmetic of a row, for the table of `rules`.

Data sheets state the same chip with and without 2:4 sparsity, with 16-bit and 32-bit sums, on vector and on matrix
units; lists mix them up, and shift columns. Each function yields the rates of a row that cannot be what they are
called, with the reason, and the name of the rate that they are where that is certain.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from netwright.hardware.device import Device
from netwright.hardware.etl.row import CATEGORIES, Fault, Row, rate_field, rates

SIXTEEN = ("bf16", "fp16")


def vector_that_is_matrix(row: Row, known: Device | None) -> Iterator[Fault]:
    """16-bit rates of vector units that only matrix units reach: packed arithmetic does 4 per fp32 lane at most."""
    single = row.rate("fp32", "vector")
    if not single or CATEGORIES.get(row.category) != "gpu":
        return
    for dtype, unit, _, _, value, name in named(row):
        if unit == "vector" and dtype in SIXTEEN and value > 4.5 * single:
            why = f"{value / single:.3g} times fp32: packed arithmetic gives 4 at most, so this is of matrix units"
            yield name, why, rate_field(dtype, "matrix")


def single_precision(row: Row, known: Device | None) -> Iterator[Fault]:
    """fp32 that the lanes cannot do at that clock, or that no GPU had."""
    single = row.rate("fp32", "vector")
    if not single or CATEGORIES.get(row.category) != "gpu":
        return
    name = next(n for d, u, *_, n in named(row) if (d, u) == ("fp32", "vector"))
    lanes, clock, released = row.number("lanes"), row.number("clock"), row.values.get("released")
    # until 2012 the lanes of some had a clock of their own, which lists leave out
    recent = isinstance(released, datetime.date) and released.year >= 2013
    if single > 200e12 and row.manufacturer in ("NVIDIA", "AMD", "Intel", "unknown"):
        why = "no GPU had more than 164 TFLOP/s in fp32 by 2025: a TF32 or 16-bit figure in the wrong column"
        yield name, why, None
    elif lanes and clock and recent and single > 4.4 * lanes * clock:
        yield name, f"more than {lanes:g} lanes can do at {clock:g} Hz, even two multiply-adds each", None


def sparse(row: Row, known: Device | None) -> Iterator[Fault]:
    """2:4 sparsity doubles a figure."""
    single = row.rate("fp32", "vector")
    half = max((value for dtype in SIXTEEN if (value := row.rate(dtype))), default=None)
    released = row.values.get("released")
    small = row.category in ("desktop GPU", "laptop GPU", "workstation GPU") and row.manufacturer == "NVIDIA"
    small = small and isinstance(released, datetime.date) and released >= datetime.date(2020, 9, 1)
    for dtype, unit, _, sparsity, value, name in named(row):
        if unit != "matrix" or sparsity != "dense":
            continue
        stated = known.rates.get(dtype) if known is not None else None
        if stated and 1.8 < value / stated < 2.2:
            yield name, f"twice the dense {stated:g} of the catalogue: with 2:4 sparsity", None
        elif single and CATEGORIES.get(row.category) == "gpu" and dtype in SIXTEEN and value > 80 * single:
            yield name, f"{value / single:.3g} times fp32, and no dense rate is more than 80 times", None
        elif dtype in ("int8", "fp8") and half and value > 2.5 * half and CATEGORIES.get(row.category) == "gpu":
            yield name, f"{value / half:.2g} times the 16-bit rate; dense it is twice: with sparsity", None
        elif dtype == "tf32" and half and value > 0.7 * half and row.manufacturer == "NVIDIA":
            yield name, f"{value / half:.2g} times the 16-bit rate; dense it is half: with sparsity", None
        elif small and single and dtype in ("int8", "fp8") and value > 10 * single:
            yield name, f"{value / single:.3g} times fp32; dense it is 8 since Ampere: with sparsity", None
        elif small and single and dtype in SIXTEEN and value > 6 * single:
            yield name, f"{value / single:.3g} times fp32; dense it is 2 or 4 since Ampere: with sparsity", None


def accumulate(row: Row, known: Device | None) -> Iterator[Fault]:
    """GeForce halves 16-bit products that are summed in 32 bits, which frameworks do."""
    single, released = row.rate("fp32", "vector"), row.values.get("released")
    if row.manufacturer != "NVIDIA" or row.category not in ("desktop GPU", "laptop GPU") or not single:
        return
    turing = isinstance(released, datetime.date) and released < datetime.date(2020, 9, 1)
    for dtype, unit, accumulate, sparsity, value, name in named(row):
        if dtype in SIXTEEN and unit == "matrix" and accumulate == "unknown" and value > (6 if turing else 3) * single:
            why = f"{value / single:.2g} times fp32: the rate with 16-bit sums"
            yield name, why, rate_field(dtype, unit, "fp16", sparsity)


def shifted(row: Row, known: Device | None) -> Iterator[Fault]:
    """A rate of another dtype in this one's place."""
    for dtype, unit, _, sparsity, value, name in named(row):
        if known is None or dtype not in known.rates or sparsity != "dense":
            continue
        if unit == "vector" and dtype not in ("fp32", "fp64"):
            continue  # the catalogue's rate is that of matrix units
        ratio = value / known.rates[dtype]
        if not 0.45 <= ratio <= 2.2:
            yield name, f"{ratio:.2g} times what the catalogue states from its maker", None


def named(row: Row) -> Iterator[tuple[str, str, str, str, float, str]]:
    """Dtype, unit, accumulate, sparsity, value and name of each rate of a row."""
    for dtype, unit, accumulate, sparsity, value in rates(row):
        yield dtype, unit, accumulate, sparsity, value, rate_field(dtype, unit, accumulate, sparsity)


def name_of(row: Row, dtype: str, unit: str) -> str:
    """The name of the row's rate of a dtype on those units."""
    return next(name for d, u, *_, name in named(row) if (d, u) == (dtype, unit))
