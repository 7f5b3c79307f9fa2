"""Seconds that a network takes for one item, from what it is made of and what the device can do at most.

    seconds, parts = seconds(work, batch, dtypes, modes, specs)      # parts sum up to seconds

Products take the longer of arithmetic and memory, and move their numbers at times more than once; normalisations,
activations and copies are passes over memory; every call takes a launch. How often each is paid (`OFTEN`) was fitted
to timm's rows by non-negative least squares, benchmarks/timm_constants.py: one set of constants for all GPUs and one
for CPUs, never one for a device. This file does not know kernels, nor clocks that were set by hand.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from netwright.core.workload import BYTES
from netwright.predict import structure
from netwright.predict.table import Floats, Specs, Texts

OFTEN: Mapping[str, Mapping[str, float]] = tomllib.loads(
    Path(__file__).with_name("timm_physics.toml").read_text(encoding="utf-8")
)
"""Mode -> part -> how often its plain cost is paid."""
LAUNCH = 1e-6
"""s; the unit in which calls are counted."""

HELD = 0.95
"""Share of the stated 16-bit rate that a card without a power limit holds in large products: 0.90 to 0.95 (RTX 3090
and 4090, largest of timm's networks)."""
ENOUGH = 2.0
"""W for 1e12 FLOP/s at 4 nm, below which the clock has to fall: between cards that do not slow down (RTX 4090: 2.7)
and those that do (L4, H100, RTX PRO 6000 Max-Q: 0.6 to 0.7). At low clocks the voltage falls too, so the rate falls
with the root of the power. Passes over memory draw less, and fall by the power 0.4 of that, which of 0, 0.4
and 0.8 suited the three GPUs of timm's tables best."""
NODE = 0.75
"""Energy of an operation falls with the process node to this power."""
STACKED = 12e9
"""B/s for each unit, beyond which memory is stacked (HBM: A100 19e9, H100 25e9; GDDR: at most 11e9) and does not
compete with the units for the power."""


def sustained(specs: Specs) -> tuple[Floats, Floats]:
    """Shares of the stated 16-bit or 8-bit matrix rate and of the bandwidth that the power limit allows."""
    process = np.array([np.nan if d.process is None else d.process for d in specs.devices], dtype=float)[specs.which]
    shrink = np.nan_to_num(process / 4e-9, nan=1.0) ** NODE
    watts = specs.power / (specs.rate("fp16") / 1e12) / shrink
    fall = np.sqrt(np.minimum(1.0, np.nan_to_num(watts / ENOUGH, nan=1.0)))
    stacked = np.nan_to_num(specs.bandwidth / specs.units, nan=0.0) > STACKED
    cpu = specs.kind.astype(str) == "cpu"
    return np.where(cpu, 1.0, HELD * fall), np.where(stacked | cpu, 1.0, fall**0.4)


def parts(work: Mapping[str, Floats], batch: Floats, dtypes: Texts, specs: Specs) -> dict[str, Floats]:
    """Plain cost of each part in seconds for one item, each (rows,); work is by structure.FIELDS."""
    width = np.array([BYTES[str(dtype)] for dtype in dtypes])
    held, flow = sustained(specs)
    rate = specs.rate(dtypes) * np.where(width < 4, held, 1.0)
    move = width / (specs.bandwidth * flow)
    found: dict[str, Floats] = {}
    for kind in ("conv", "linear"):
        found[f"{kind} rate"], found[f"{kind} bytes"] = np.zeros(len(batch)), np.zeros(len(batch))
        for at in range(len(structure.EDGES) + 1):
            flops, numbers, weights = (work[f"{kind}{at}.{what}"] for what in ("flops", "numbers", "weights"))
            found[f"{kind} rate"] += np.maximum(flops / rate, (numbers + weights / batch) * move)
            found[f"{kind} bytes"] += numbers * move
    for kind in ("grouped", "depthwise", "attention", "batched"):
        found[f"{kind} rate"] = work[f"{kind}.flops"] / rate
        found[f"{kind} bytes"] = (work[f"{kind}.numbers"] + work[f"{kind}.weights"] / batch) * move
    for kind in structure.PASSES:
        found[kind] = work[f"{kind}.numbers"] * move
    found["calls"], found["runs"] = (LAUNCH * work[name] / batch for name in ("calls", "runs"))
    return found


def seconds(
    work: Mapping[str, Floats], batch: Floats, dtypes: Texts, modes: Texts, specs: Specs
) -> tuple[Floats, dict[str, Floats]]:
    """Seconds for one item and what they consist of; NaN where the device or the network is not known."""
    plain = parts(work, batch, dtypes, specs)
    keys = np.array([_set(str(mode), str(kind)) for mode, kind in zip(modes, specs.kind, strict=True)])
    distinct, place = np.unique(keys, return_inverse=True)
    paid = {
        name: np.array([OFTEN[key].get(name, 0.0) for key in distinct])[place] * cost for name, cost in plain.items()
    }
    total: Floats = np.sum(list(paid.values()), axis=0)
    return total, paid


def _set(mode: str, kind: str) -> str:
    """Which constants hold: "eager nchw", "training nhwc", "cpu"."""
    if kind == "cpu":
        return "cpu"
    usual = mode.replace("nhwc", "nchw")
    return mode if mode in OFTEN else usual if usual in OFTEN else "compiled nchw"
