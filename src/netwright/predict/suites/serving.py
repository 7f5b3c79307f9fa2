"""Measured rows of LLM serving (serving/*.csv), which the suites tpot and ttft share, and what their learners are told.

    columns, refused = rows_of(folder, "silicon_tpot_ms")

A row is a load: a model, an engine, `concurrency` requests kept in flight, prompts of `isl` and answers of `osl`
tokens, and how many devices share the model in which way. Either one pool does both (agg), or prompts and
answers have devices of their own (disagg). The rows do not say whether an engine guessed several tokens a
step (speculative decoding, which changes the time by a factor of two), nor how its scheduler was set.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from netwright.core.error import UserError
from netwright.predict import llm
from netwright.predict.learning.table import Columns, Floats, Specs, Texts
from netwright.predict.llm import LLM
from netwright.predict.llm.engine import Load

POOL = ("workers", "tensor", "data", "devices")
NUMBERS = ("isl", "osl", "concurrency", "experts_over", "varied", "guessing", *POOL, *(f"prefill_{x}" for x in POOL))
TEXTS = ("device", "work", "mode", "family", "llm", "weights", "engine", "served")
QUANT = {"nvfp4": "fp4", "fp4": "fp4", "mxfp4": "fp4", "fp8": "fp8", "fp8_block": "fp8", "int4_wo": "int4",
         "int4": "int4", "int8": "int8", "int8_wo": "int8", "bf16": "bf16", "bfloat16": "bf16", "float16": "bf16",
         "fp16": "bf16"}  # fmt: skip
VARIED = {(1024, 1024), (1024, 8192), (8192, 1024)}
"""Loads of InferenceX (isl, osl), whose lengths vary by up to a fifth; others are taken as of fixed length."""
GUESSING = ("DeepSeek",)
"""Families that are also served with speculative decoding, which the row does not say; none is in db-dump."""
_CONCURRENCY = re.compile(r"concurrency=(\d+)")


def rows_of(folder: Path, value: str) -> tuple[Columns, dict[str, int]]:
    """All rows with a measured `value` (name of its column, in ms). Reasons count the rows that are left out."""
    import pandas as pd

    refused: Counter[str] = Counter()
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for path in sorted((folder / "serving").glob("*.csv")):
        frame = pd.read_csv(path, low_memory=False, on_bad_lines="skip")
        for raw in frame.to_dict("records"):
            row, why = _row({str(k): v for k, v in raw.items()}, value)
            if row is None:
                refused[why] += 1
                continue
            key = tuple(row[k] for k in ("device", "engine", "isl", "osl", "concurrency", "served", "value"))
            if key in kept:
                refused["the same measurement listed again"] += 1
                row = {**kept[key], "guessing": min(row["guessing"], kept[key]["guessing"])}
            kept[key] = row
    columns: Columns = {name: np.array([row[name] for row in kept.values()], dtype=object) for name in TEXTS}
    for name in ("value", *NUMBERS):
        columns[name] = np.array([row[name] for row in kept.values()], dtype=float)
    return columns, dict(refused)


def _row(raw: Mapping[str, Any], value: str) -> tuple[dict[str, Any] | None, str]:
    """The row in our terms, or why there is none."""
    measured = number(raw.get(value)) / 1e3
    if not measured > 0:
        return None, "no measured time"
    try:
        shape = llm.find(str(raw.get("model_path", "")))
    except UserError:
        return None, f"unknown model {str(raw.get('model_path', ''))[:60]}"
    isl, osl = number(raw.get("isl")), number(raw.get("osl"))
    served, listing = str(raw.get("mode", "agg")), str(raw.get("silicon_data_source", ""))
    if served not in ("agg", "disagg") or not (isl > 0 and osl > 0):
        return None, "neither aggregated nor disaggregated, or without lengths"
    prefix = "decode_" if served == "disagg" else ""
    pool = _pool(raw, prefix)
    pool["workers"] = count(raw.get("decode_num_workers")) if served == "disagg" else 1.0
    said = _CONCURRENCY.search(listing)
    batch = number(raw.get(f"{prefix}batch_size")) * pool["data"] * pool["workers"]
    concurrency = float(said[1]) if said else batch
    if not concurrency > 0:
        return None, "no concurrency"
    quant = raw.get("moe_quant_mode") if shape.experts else raw.get("gemm_quant_mode")
    weights = QUANT.get(str(quant)) or QUANT.get(str(raw.get("precision"))) or shape.weights
    other = _pool(raw, "prefill_") if served == "disagg" else dict(pool)
    other["workers"] = count(raw.get("prefill_num_workers"))
    guessing = family(shape).startswith(GUESSING) and not listing.startswith("db-dump")
    row: dict[str, Any] = {
        "device": str(raw.get("system", "")), "llm": shape.name, "weights": weights, "family": family(shape),
        "engine": str(raw.get("backend", "")), "served": served, "value": measured, "isl": isl, "osl": osl,
        "concurrency": concurrency, "varied": float((int(isl), int(osl)) in VARIED), "guessing": float(guessing),
        **pool, **{f"prefill_{name}": other[name] for name in POOL},
    }  # fmt: skip
    row["mode"] = f"{row['engine']} {served}"  # not its version: that stands for the models served with it
    parts = ("llm", "weights", "isl", "osl", "concurrency", "devices", "data", "workers", "served")
    row["work"] = "|".join(f"{row[k]:g}" if isinstance(row[k], float) else row[k] for k in parts)
    return row, ""


def _pool(raw: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """How the devices of one worker share the model.

    Some rows name the devices once for each way they are shared: tp 64 for experts over 8 x 8 is one node of 8,
    as those rows show that stand in the file both ways with equal times. None of the disaggregated rows does so.
    """
    tensor, data = (count(raw.get(prefix + name)) for name in ("tp_size", "attention_dp_size"))
    one, other = (count(raw.get(prefix + name)) for name in ("moe_tp_size", "moe_ep_size"))
    devices = tensor * data * count(raw.get(prefix + "pp_size"))
    if prefix == "" and one == other > 1 and devices == one * other:
        devices = one
        tensor, data = (1.0, one) if data > 1 else (one, 1.0)
    elif prefix == "" and tensor == data > 1 and max(one, other) == devices:
        devices, tensor = data, 1.0
    return {"devices": devices, "tensor": tensor, "data": data, "experts_over": min(other, devices)}


@functools.cache
def family(shape: LLM) -> str:
    """The first known model of the same shape: DeepSeek-R1 is DeepSeek-V3 in another training."""
    key = (shape.layers, shape.hidden, shape.parameters)
    return next((n for n, s in llm.known().items() if (s.layers, s.hidden, s.parameters) == key), shape.name)


def support(load: Load, columns: Columns, specs: Specs) -> tuple[Any, Texts]:
    """Which rows get no number, and why."""
    unknown = ~np.isfinite(load.per_token) | np.isnan(specs.memory)
    full = load.weights > 0.98 * specs.memory * columns["devices"]
    why = np.where(full, "the weights do not fit into the devices named", "")
    why = np.where(unknown, "no bandwidth, memory or rate is known of the device", why).astype(object)
    return why != "", why


def conditions(load: Load, columns: Columns) -> dict[str, Floats]:
    """What both learners are told of a load, without units."""
    told = {
        "sequences a device": np.log(load.running / columns["devices"]),
        "devices": np.log2(columns["devices"]),
        "data parallel": np.log2(columns["data"]),
        "experts over": np.log2(columns["experts_over"]),
        "latent attention": np.array([float(shape.kv_rank > 0) for shape in load.shapes]),
        "linear attention": np.array([float(shape.linear_layers > 0) for shape in load.shapes]),
        "prompt / answer": np.log(columns["isl"] / columns["osl"]),
        "aggregated": (columns["served"] == "agg").astype(float),
        "varied lengths": columns["varied"],
        "may guess tokens": columns["guessing"],
    }
    told |= {engine: (columns["engine"] == engine).astype(float) for engine in ("trtllm", "vllm", "sglang")}
    return told


def native(columns: Columns, specs: Specs) -> Floats:
    """1 where the device computes in the dtype of the weights, which no device does for int4 beside fp8 or bf16."""
    dtypes = columns["weights"].astype(str)
    found: Floats = (~np.isnan(specs.stated(dtypes)) & (dtypes != "int4")).astype(float)
    return found


def number(value: object) -> float:
    """A finite number, NaN where it is none."""
    try:
        found = float(str(value))
    except ValueError:
        return float("nan")
    return found if np.isfinite(found) else float("nan")


def count(value: object) -> float:
    """How many, one where it is not said."""
    found = number(value)
    return found if found >= 1 else 1.0
