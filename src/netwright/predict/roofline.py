"""Latency and throughput of a workload on a device, by the roofline model (Williams et al. 2009).

    latency, throughput = predict(workload, catalog.find("h100"))

An operator cannot take less than FLOPs / peak rate, nor less than bytes / bandwidth. What real programs
took in units of the greater of the two (`slowdown`), and what an operator costs that does next to nothing
(`floor`), was measured on other devices; benchmarks/roofline_prior.py derives it, and prior.toml holds
it with its provenance. This file does not know a device's clock, its runtime or its host: it is
uncalibrated, and its interval says how far whole models on known devices were off.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.core.measurement import Measurement, readable
from netwright.core.workload import BYTES, Operator, Workload
from netwright.hardware.device import Device, Rate

PRIOR = Path(__file__).with_name("prior.toml")

MATRIX = {"convolution", "grouped_convolution", "depthwise_convolution", "mm", "addmm", "bmm", "baddbmm"}
"""Operators that no compiler fuses away, beside attention."""


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What real programs need beyond the roofline: at best, in the median, at worst.

    `slowdown` multiplies the roofline, `eight` its arithmetic once more where that is in 8 bits, and `floor` is
    added for each operator, in seconds; at best only matrix operators pay it, for a
    compiler may fuse the rest. `level` is the share of known cases that the interval is meant to hold, `devices` the
    number of devices they come from, `dtypes` what their models computed in.
    """

    slowdown: tuple[float, ...]
    eight: tuple[float, ...]
    floor: tuple[float, ...]
    level: float
    devices: int
    dtypes: tuple[str, ...]
    evidence: str


def predict(workload: Workload, device: Device) -> list[Measurement]:
    """Latency of one call with the workload's batch, and items per second, as predicted Measurements.

    Raises UserError when weights and activations do not fit into the device's memory, or when no rate
    is known that its arithmetic could be reckoned with.
    """
    needed = memory(workload)
    if needed > device.memory:
        room = f"{device.name} has {readable(device.memory, 'B')}, the model needs {readable(needed, 'B')} at least"
        raise UserError("device", device.name, room, f"a smaller --batch than {workload.batch}, or --dtype int8")
    (low, value, high), known, notes = call(workload, device)
    about: dict[str, Any] = {
        "level": known.level,
        "n": known.devices,
        "source": "predicted",
        "device": device.name,
        "workload": workload.digest,
        "conditions": {
            "batch": workload.batch,
            "dtype": main_dtype(workload),
            "method": "uncalibrated roofline",
            "notes": notes,
        },
    }
    batch = workload.batch
    return [
        Measurement(quantity="latency", value=value, low=low, high=high, **about),
        Measurement(quantity="throughput", value=batch / value, low=batch / high, high=batch / low, **about),
    ]


def call(workload: Workload, device: Device) -> tuple[tuple[float, float, float], Prior, list[str]]:
    """Seconds of one call at best, in the median and at worst, what they come from, and what stands in for what.

    Raises UserError as `predict` does, but for memory.
    """
    if not workload.operators:
        raise UserError("workload", workload.name, "has no operators to predict", "netwright export --help")
    known = prior("cpu" if device.kind == "cpu" else "gpu")
    rates = {operator.dtype: device.rate(operator.dtype) for operator in workload.operators}
    notes = [rate.note for rate in rates.values() if rate.note]
    if main_dtype(workload) not in known.dtypes:
        notes.append(f"the models behind the interval computed in {' and '.join(known.dtypes)}")
    return seconds(workload.operators, device, rates, known), known, notes


def seconds(
    operators: Sequence[Operator], device: Device, rates: dict[str, Rate], known: Prior
) -> tuple[float, float, float]:
    """Time of the operators one after the other: at best, in the median, at worst."""
    totals = [0.0, 0.0, 0.0]
    for operator in operators:
        rate = rates[operator.dtype]
        for case, flops_per_s in enumerate((rate.most, rate.flops, rate.least)):
            eight = known.eight[case] if operator.dtype in ("int8", "fp8") else 1.0
            fused = case == 0 and not is_matrix(operator)
            slowest = max(eight * operator.flops / flops_per_s, operator.bytes / device.bandwidth)
            totals[case] += known.slowdown[case] * slowest
            totals[case] += 0.0 if fused else known.floor[case] * launches(operator)
    return max(totals[0], known.floor[0]), totals[1], totals[2]


def share(some: Sequence[Operator], workload: Workload, device: Device) -> float:
    """Part of the workload's time that some of its operators take by the bare roofline."""
    whole = bare(workload.operators, device)
    return bare(some, device) / whole if whole else 0.0


def bare(operators: Sequence[Operator], device: Device) -> float:
    """Seconds of operators one after the other that reach the device's rates, without launches."""
    return sum(max(o.flops / device.rate(o.dtype).flops, o.bytes / device.bandwidth) for o in operators)


def memory(workload: Workload) -> float:
    """Bytes that must be there at once: the weights, and what the most demanding operator reads and writes."""
    dtypes = [operator.dtype for operator in workload.operators]
    weights = workload.parameters * min((BYTES[dtype] for dtype in dtypes), default=0.0)
    return weights + max((o.input_bytes + o.output_bytes for o in workload.operators), default=0.0)


def launches(operator: Operator) -> int:
    """One; of a recurrence one a step, which must wait for the step before."""
    return operator.matrix.count if operator.matrix and "recurrence" in operator.name else 1


def is_matrix(operator: Operator) -> bool:
    """Whether it is a product: no compiler fuses it away."""
    named = operator.name in MATRIX or "attention" in operator.name  # all that older traces tell
    return operator.matrix is not None or operator.attention is not None or named


@functools.cache
def prior(kind: str) -> Prior:
    """The constants for "cpu" or "gpu"; accelerators of other kinds are reckoned like GPUs."""
    values = tomllib.loads(PRIOR.read_text(encoding="utf-8"))
    found: Prior = recipe.build(Prior, values[kind], kind)
    threes = (found.slowdown, found.eight, found.floor)
    if not all(len(three) == 3 and list(three) == sorted(three) and min(three) >= 0 for three in threes):
        raise ValueError(f"{PRIOR.name}: [{kind}] is not best, median, worst")
    return found


def main_dtype(workload: Workload) -> str:
    """The dtype of most arithmetic."""
    flops: dict[str, float] = {}
    for operator in workload.operators:
        flops[operator.dtype] = flops.get(operator.dtype, 0.0) + operator.flops
    return max(flops, key=lambda dtype: flops[dtype], default="fp32")
