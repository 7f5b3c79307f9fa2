"""Measured times of single kernels (kernels/*_perf.parquet), as the suites of kernels read them.

    frame, refused = table(folder, "gemm", numbers=("m", "n", "k"), texts=("gemm_dtype",))

A row is one kernel on one device under one engine: `system` (or `device`), `engine`, `kernel_source`, `latency` in
ms. Rows that cannot be used are counted by reason. Also here: in what each weight format computes, and how many
bytes an element takes. This file knows no physics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netwright.predict.learning.table import Columns, Floats, Specs, Texts


@dataclass(frozen=True)
class Format:
    """What a product computes in, and bytes an element of weights and activations, scales included."""

    compute: str
    weight: float
    activation: float

    @property
    def rounds(self) -> bool:
        """Activations are brought into the format by a kernel of their own."""
        return self.activation < 2


FORMATS = {
    "bfloat16": Format("bf16", 2, 2),
    "float16": Format("fp16", 2, 2),
    "float32": Format("fp32", 4, 4),
    "fp8": Format("fp8", 1, 1),
    "fp8_static": Format("fp8", 1, 1),
    "fp8_block": Format("fp8", 1 + 4 / 128**2, 1 + 4 / 128),
    "sq": Format("int8", 1, 1),
    "int8": Format("int8", 1, 1),
    "int8_wo": Format("bf16", 1, 2),
    "int4_wo": Format("bf16", 0.5 + 2 / 128, 2),
    "w4afp8": Format("fp8", 0.5 + 2 / 128, 1),
    "nvfp4": Format("fp4", 0.5 + 1 / 16, 0.5 + 1 / 16),
    "w4a16_mxfp4": Format("bf16", 0.5 + 1 / 32, 2),
    "w4a8_mxfp4_mxfp8": Format("fp8", 0.5 + 1 / 32, 1 + 1 / 32),
}
"""Names as engines write them. Scales: one of 2 bytes for 128 values of int4, of 1 byte for 16 of nvfp4 and 32 of
the OCP microscaling formats, of 4 bytes for a block of 128 x 128 weights of fp8_block."""
FORMATS |= {"bf16": FORMATS["bfloat16"], "half": FORMATS["float16"], "fp16": FORMATS["float16"]}
FORMATS |= {"fp32": FORMATS["float32"], "fp4": FORMATS["nvfp4"], "mxfp4": FORMATS["w4a16_mxfp4"]}
FORMATS |= {"w4a16": FORMATS["int4_wo"], "awq": FORMATS["int4_wo"], "gptq": FORMATS["int4_wo"]}


def table(
    folder: Path, name: str, *, numbers: Sequence[str] = (), texts: Sequence[str] = (), zero: Sequence[str] = (),
    value: str = "latency", scale: float = 1e-3,
) -> tuple[Columns, Counter[str]]:  # fmt: skip
    """All rows of `kernels/NAME_perf.parquet`, with "value" in s, and reason -> rows that were refused.

    `numbers` must be positive (`zero` may be 0, and is where it is missing), `texts` are strings, empty where
    missing. `value` is the column of the time, `scale` its unit in s.
    """
    import pandas as pd

    refused: Counter[str] = Counter()
    frames = []
    for path in sorted((folder / "kernels").rglob(f"{name}_perf.parquet")):
        try:
            frame = pd.read_parquet(path)
        except Exception as error:  # pyarrow raises its own, OSError and ValueError
            refused[f"{path.name} cannot be read: {type(error).__name__}"] += 1
            continue
        missing = [column for column in (*numbers, value) if column not in frame]
        if "system" not in frame and "device" not in frame:
            missing.append("system")
        if missing:
            refused[f"{path.name} has no column {missing[0]}"] += len(frame)
            continue
        frames.append(frame)
    joined = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    count = len(joined)

    def text(column: str) -> Texts:
        if column not in joined:
            return np.full(count, "", dtype=object)
        return np.array(joined[column].astype(object).where(joined[column].notna(), "").astype(str), dtype=object)

    def number(column: str) -> Floats:
        if column not in joined:
            return np.full(count, np.nan)
        return np.asarray(pd.to_numeric(joined[column], errors="coerce"), dtype=float)

    columns: Columns = {column: text(column) for column in ("engine", "kernel_source", *texts)}
    system, device = text("system"), text("device")
    columns["device"] = np.where(system == "", device, system)
    columns["value"] = number(value) * scale
    columns |= {column: number(column) for column in numbers} | {
        column: np.nan_to_num(number(column)) for column in zero
    }
    with np.errstate(invalid="ignore"):
        reasons = {
            "no device": columns["device"] == "",
            "no time above zero": ~(np.isfinite(columns["value"]) & (columns["value"] > 0)),
            **{f"{column} is not above zero": ~(columns[column] > 0) for column in numbers},
            **{f"{column} is below zero": columns[column] < 0 for column in zero},
        }
    bad = np.zeros(count, dtype=bool)
    for reason, rows in reasons.items():
        refused[reason] += int((rows & ~bad).sum())
        bad |= rows
    return {column: values[~bad] for column, values in columns.items()}, +refused


def to_blackwell(columns: Columns, specs: Specs) -> tuple[Any, Any]:
    """Train on Ampere and Hopper, test on Blackwell of data centres (with links of its own)."""
    older = np.isin(specs.architecture.astype(str), ["Ampere", "Hopper"])
    return older, (specs.architecture == "Blackwell") & (specs.link > specs.host_link)


SPLITS = {"ampere and hopper to blackwell": to_blackwell}


def drop(columns: Columns, rows: Any, refused: Counter[str], reason: str) -> Columns:
    """The columns without some rows, which are counted under `reason`."""
    if np.any(rows):
        refused[reason] += int(np.sum(rows))
    return {column: values[~np.asarray(rows)] for column, values in columns.items()}


def known_format(columns: Columns, column: str, refused: Counter[str]) -> Columns:
    """Only rows whose format stands in FORMATS."""
    for name in sorted(set(map(str, columns[column])) - set(FORMATS)):
        columns = drop(columns, columns[column] == name, refused, f"format {name or '(none)'} is unknown")
    return columns


def of_format(names: Texts, what: str) -> Any:
    """An attribute of each row's Format, (rows,)."""
    distinct, place = coded(names)
    return np.array([getattr(FORMATS[name], what) for name in distinct])[place]


def join(*parts: Any) -> Texts:
    """Keys "a|b|c" out of columns of equal length; numbers without a fraction."""
    joined: Any = None
    for part in map(np.asarray, parts):
        distinct, place = coded(part)
        texts = np.array([f"{x:.10g}" if isinstance(x, float | int) else x for x in distinct], dtype=object)[place]
        joined = texts if joined is None else joined + "|" + texts
    found: Texts = joined
    return found


def contains(texts: Texts, *words: str) -> Floats:
    """1.0 where a text holds any of the words, without regard to case."""
    distinct, place = coded(texts)
    found: Floats = np.array([float(any(word in name.lower() for word in words)) for name in distinct])[place]
    return found


def coded(values: Any) -> tuple[list[Any], Any]:
    """Distinct values and each row's place among them; for texts ten times as fast as `numpy.unique`, which sorts."""
    numeric = values.dtype.kind in "fiu"
    listed = values.tolist() if numeric else list(map(str, values.tolist()))
    places = {value: place for place, value in enumerate(dict.fromkeys(listed))}
    return list(places), np.fromiter(map(places.__getitem__, listed), dtype=np.intp, count=len(listed))
