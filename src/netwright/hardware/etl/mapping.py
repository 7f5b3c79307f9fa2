"""Any CSV file, by a TOML file that says what its columns mean.

    file = "cards.csv"                     # beside the TOML file
    title = "Our lab's cards"
    address = "https://lab.example/cards"
    licence = "CC0"
    date = "2026-11-20"

    [columns]
    "Card" = { field = "name" }
    "TDP" = { field = "power", unit = "W" }
    "Memory speed" = { field = "bandwidth", unit = "GB/s" }
    "FP16 tensor" = { field = "rates.fp16", on = "matrix", accumulate = "fp32", sparsity = "dense", unit = "TFLOP/s" }
    "Paid" = { field = "price", unit = "USD" }
    "ResNet-50" = { field = "result", workload = "ResNet-50", quantity = "throughput", unit = "items/s" }

Every number has its unit, and a unit of another kind than the field's is refused before a row is read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.core import recipe
from netwright.core.error import UserError, did_you_mean
from netwright.hardware.device import DTYPES
from netwright.hardware.etl import read
from netwright.hardware.etl.kaggle import maker
from netwright.hardware.etl.row import CATEGORIES, TEXTS, Price, Result, Row, Value, rate_field
from netwright.hardware.etl.write import SourceRow
from netwright.hardware.schema import ACCUMULATE, SPARSITY
from netwright.hardware.schema import UNITS as ENGINES

if TYPE_CHECKING:
    from netwright.hardware.etl import Importer

ABOUT = ("file", "title", "address", "licence", "date", "columns", "manufacturer", "category")
UNITS = {
    "B": ("B", 1.0), "kB": ("B", 1e3), "MB": ("B", 1e6), "GB": ("B", 1e9), "TB": ("B", 1e12), "KiB": ("B", 2.0**10),
    "MiB": ("B", 2.0**20), "GiB": ("B", 2.0**30), "B/s": ("B/s", 1.0), "MB/s": ("B/s", 1e6), "GB/s": ("B/s", 1e9),
    "TB/s": ("B/s", 1e12), "Gbit/s": ("B/s", 0.125e9), "FLOP/s": ("FLOP/s", 1.0), "GFLOP/s": ("FLOP/s", 1e9),
    "TFLOP/s": ("FLOP/s", 1e12), "PFLOP/s": ("FLOP/s", 1e15), "TOP/s": ("FLOP/s", 1e12), "Hz": ("Hz", 1.0),
    "MHz": ("Hz", 1e6), "GHz": ("Hz", 1e9), "W": ("W", 1.0), "kW": ("W", 1e3), "m": ("m", 1.0), "nm": ("m", 1e-9),
    "m^2": ("m^2", 1.0), "mm^2": ("m^2", 1e-6), "1": ("1", 1.0), "million": ("1", 1e6), "billion": ("1", 1e9),
    "bit": ("bit", 1.0), "USD": ("USD", 1.0), "USD/h": ("USD/h", 1.0),
}  # fmt: skip
"""Unit -> the unit of the tables, and how many of those it is."""

KINDS = {
    "units": "1", "lanes": "1", "matrix_units": "1", "transistors": "1", "base_clock": "Hz", "clock": "Hz",
    "memory_clock": "Hz", "cache": "B", "memory": "B", "power": "W", "die_area": "m^2", "process": "m", "link": "B/s",
    "host_link": "B/s", "network": "B/s", "bandwidth": "B/s", "bus_width": "bit", "price": "USD",
}  # fmt: skip
"""Field -> the unit of the tables."""

RESULTS = ("latency", "throughput", "power", "energy", "score")
WORDS = ("name", "manufacturer", *TEXTS)


@dataclass(frozen=True)
class Column:
    """What a column means: the field, and how many of the field's units one of its numbers is."""

    name: str
    field: str
    scale: float = 1.0
    unit: str = ""
    workload: str = ""
    quantity: str = ""


def rows(path: Path, key: str, importer: Importer) -> tuple[SourceRow, Iterator[Row | tuple[str, str]]]:
    """The source that a mapping file describes, and its rows. Raises UserError."""
    told = recipe.read_toml(path)
    for name in told:
        if name not in ABOUT:
            raise UserError(name, told[name], did_you_mean(name, ABOUT), f"mend {path}")
    for name in ("file", "title", "address", "licence"):
        if not isinstance(told.get(name), str) or not told[name].strip():
            raise UserError(name, told.get(name), "text: each value keeps its source", f"add {name} = ... to {path}")
    for name in ("manufacturer", "category", "date"):
        if not isinstance(told.get(name, ""), str):
            raise UserError(name, told[name], "text", f"mend {path}")
    if told.get("category", "GPU") not in CATEGORIES:
        raise UserError("category", told["category"], did_you_mean(told["category"], CATEGORIES), f"mend {path}")
    file = path.parent / told["file"]
    columns = _columns(told.get("columns"), path)
    data = read.content(file)
    digest = hashlib.sha256(data + path.read_bytes()).hexdigest()
    about = SourceRow(
        key=f"{key}:{path.stem}", title=told["title"], address=told["address"], licence=told["licence"],
        date=told.get("date", ""), sha256=digest, priority=importer.priority,
    )  # fmt: skip
    return about, _rows(data, columns, told)


def _columns(told: Any, path: Path) -> list[Column]:
    if not isinstance(told, Mapping) or not all(isinstance(one, Mapping) for one in told.values()):
        raise UserError("columns", told, 'a table of "Column" = { field = "..." }', f"add [columns] to {path}")
    columns = [_column(name, one, path) for name, one in told.items()]
    if sum(column.field == "name" for column in columns) != 1:
        raise UserError("columns", ", ".join(told), 'one column with field = "name"', f"mend {path}")
    return columns


def _column(name: str, told: Mapping[str, Any], path: Path) -> Column:
    where = f"columns.{name}"
    allowed = ("field", "unit", "on", "accumulate", "sparsity", "workload", "quantity")
    for key, value in told.items():
        if key not in allowed or not isinstance(value, str):
            raise UserError(f"{where}.{key}", value, did_you_mean(key, allowed) + ", each a text", f"mend {path}")
    field, unit = told.get("field", ""), told.get("unit", "")
    if field in WORDS:
        return Column(name, field)
    if field == "result":
        if told.get("quantity") not in RESULTS or not unit or not told.get("workload"):
            allowed_words = f"a workload, a unit, and a quantity among {', '.join(RESULTS)}"
            raise UserError(where, dict(told), allowed_words, f"mend {path}")
        return Column(name, field, 1.0, unit, told["workload"], told["quantity"])
    rate = re.fullmatch(rf"rates\.({'|'.join(DTYPES)})", field)
    if rate:
        choices = {"on": ENGINES, "accumulate": ACCUMULATE, "sparsity": SPARSITY}
        chosen = {key: told.get(key, "unknown" if key == "accumulate" else "") for key in choices}
        for key, words in choices.items():
            if chosen[key] not in words:
                raise UserError(f"{where}.{key}", chosen[key], f"one of {', '.join(words)}", f"mend {path}")
        field, kind = rate_field(rate[1], chosen["on"], chosen["accumulate"], chosen["sparsity"]), "FLOP/s"
    elif field in KINDS:
        kind = KINDS[field]
    else:
        fields = [*WORDS, *KINDS, "result", *(f"rates.{dtype}" for dtype in DTYPES)]
        raise UserError(f"{where}.field", field, did_you_mean(field, fields), f"mend {path}")
    if unit not in UNITS or UNITS[unit][0] != kind:
        units = [known for known, (of, _) in UNITS.items() if of == kind]
        raise UserError(f"{where}.unit", unit, f"one of {', '.join(units)}", f"mend {path}")
    return Column(name, field, UNITS[unit][1], unit)


def _rows(data: bytes, columns: list[Column], about: Mapping[str, Any]) -> Iterator[Row | tuple[str, str]]:
    for at, cells in read.table(data, [column.name for column in columns], about["file"]):
        yield (at, cells) if isinstance(cells, str) else _row(at, cells, columns, about)


def _row(at: str, cells: read.Cells, columns: list[Column], about: Mapping[str, Any]) -> Row:
    values: dict[str, Value] = {}
    words = {"name": "", "manufacturer": about.get("manufacturer", "")}
    prices: list[Price] = []
    results: list[Result] = []
    for column in columns:
        cell = cells[column.name]
        if column.field in words:
            words[column.field] = cell or words[column.field]
            continue
        value = cell if column.field in TEXTS else read.number(cell, column.scale)
        if value is None or value == "":
            continue
        if column.field == "price" and isinstance(value, float):
            prices.append(Price(kind="release", usd=value))
        elif column.field == "result" and isinstance(value, float):
            quantity, unit, workload = column.quantity, column.unit, column.workload
            row = f"{at} {column.name}"
            results.append(Result(row=row, workload=workload, quantity=quantity, value=value, unit=unit))
        else:
            values[column.field] = value
    made = words["manufacturer"] or maker(words["name"])
    category = about.get("category", "GPU")
    return Row(at, words["name"], values, made, category, tuple(prices), tuple(results))
