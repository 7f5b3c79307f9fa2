"""Epoch AI's "Machine Learning Hardware" (CC BY): 169 accelerators, the second layer of the catalogue.

Traps in the file, left to the rules: "Infinity" where a price or power is missing, sparse rates in a few
rows, one 16-bit matrix column for fp16 and bf16 alike, "INT4/FP4" in one column. It has no architecture.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from netwright.hardware.etl import read
from netwright.hardware.etl.row import Price, Row, Value, rate_field

SEED = Path(__file__).parents[1] / "seed" / "ml_hardware.csv"
NEEDED = ("Hardware name", "Manufacturer", "Type", "Release date", "Memory bandwidth (byte/s)", "TDP (W)")

COLUMNS = {
    "Memory size per board (Byte)": ("memory", 1.0),
    "Memory bandwidth (byte/s)": ("bandwidth", 1.0),
    "Internode bandwidth (bit/s)": ("network", 1 / 8),
    "Die Size (mm^2)": ("die_area", 1e-6),
    "TDP (W)": ("power", 1.0),
    "Base clock (MHz)": ("base_clock", 1e6),
    "Boost clock (MHz)": ("clock", 1e6),
    "Memory clock (MHz)": ("memory_clock", 1e6),
    "Memory bus (bit)": ("bus_width", 1.0),
    "Tensor cores": ("matrix_units", 1.0),
    "Process size (nm)": ("process", 1e-9),
    "Transistors (millions)": ("transistors", 1e6),
    "FP64 (double precision) performance (FLOP/s)": (rate_field("fp64", "vector"), 1.0),
    "FP32 (single precision) performance (FLOP/s)": (rate_field("fp32", "vector"), 1.0),
    "FP16 (half precision) performance (FLOP/s)": (rate_field("fp16", "vector"), 1.0),
    "TF32 (TensorFloat-32) performance (FLOP/s)": (rate_field("tf32", "matrix"), 1.0),
    "INT8 performance (OP/s)": (rate_field("int8", "matrix", "int32"), 1.0),
    "FP8 performance (FLOP/s)": (rate_field("fp8", "matrix"), 1.0),
    "FP4 performance (FLOP/s)": (rate_field("fp4", "matrix"), 1.0),
}
"""Column -> value and factor to its unit. "Intranode bandwidth" is left out: some rows count both
directions (1.8e12 for the B200) and some one, and the file does not say which."""

MATRIX_16 = "Tensor-FP16/BF16 performance (FLOP/s)"
INT4 = "INT4/FP4 performance (OP/s)"
GPU_MAKERS = ("NVIDIA", "AMD", "Intel", "MetaX", "Moore Threads (Tencent)", "Biren", "Iluvatar CoreX", "Hygon")
MAKERS = {"Google TPU": "Google", "Amazon AWS": "Amazon", "AWS": "Amazon", "Kunlunxin Baidu": "Baidu"}
MAKERS |= {"Moore Threads (Tencent)": "Moore Threads", "MTT": "Moore Threads"}


def rows(data: bytes) -> Iterator[Row | tuple[str, str]]:
    """Each row of the file, or where it stands and why it is none."""
    for at, cells in read.table(data, NEEDED, "ml_hardware.csv"):
        yield (at, cells) if isinstance(cells, str) else _row(at, cells)


def _row(at: str, cells: read.Cells) -> Row:
    name, maker = cells["Hardware name"], cells["Manufacturer"]
    found = {field: read.number(cells.get(column, ""), scale) for column, (field, scale) in COLUMNS.items()}
    released = _date(cells["Release date"])
    matrix = read.number(cells.get(MATRIX_16, ""))
    for dtype in _sixteen_bit(name, maker, released):
        found[rate_field(dtype, "matrix")] = matrix
    quarter = read.number(cells.get(INT4, ""))
    if quarter != found[rate_field("fp4", "matrix")]:
        found[rate_field("int4", "matrix", "int32")] = quarter
    values: dict[str, Value] = {key: value for key, value in found.items() if value is not None}
    if cells.get("Foundry"):
        values["foundry"] = cells["Foundry"]
    if released is not None:
        values["released"] = released
    price = read.number(cells.get("Release price (USD)", ""))
    note = cells.get("Source for the price", "").split("\n")[0][:200]
    prices = (Price(kind="release", usd=price, note=note),) if isinstance(price, float) else ()
    return Row(at, name, values, _maker(name, maker), _category(name, maker, cells["Type"]), prices)


def _sixteen_bit(name: str, maker: str, released: datetime.date | None) -> tuple[str, ...]:
    """What the one column for fp16 and bf16 means: NVIDIA has bf16 since Ampere (May 2020), TPUs have no fp16."""
    if maker == "NVIDIA" and (released is None or released < datetime.date(2020, 3, 1)):
        return ("fp16",)
    return ("bf16",) if maker == "Google" else ("fp16", "bf16")


def _category(name: str, maker: str, kind: str) -> str:
    if maker == "Google":
        return "TPU"
    if maker not in GPU_MAKERS or "gaudi" in name.lower() or kind not in ("GPU", "GPGPU", "DCU (GPGPU)"):
        return "accelerator"
    if "GeForce" in name or "TITAN" in name.upper() or "Radeon RX" in name:
        return "desktop GPU"
    return "workstation GPU" if "Quadro" in name or " RTX " in name else "data centre GPU"


def _maker(name: str, maker: str) -> str:
    first = name.partition(" ")[0]
    return MAKERS.get(maker, MAKERS.get(first, maker)) or {"GroqChip": "Groq"}.get(first, "unknown")


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None
