"""Seconds that a network takes for one item, from what it is made of and what the device can do at most.

    constants = fit(plain, seconds, modes, specs)
    seconds, parts = seconds(plain, modes, specs, constants)         # parts sum up to seconds

Products take the longer of arithmetic and memory, and move their numbers at times more than once; normalisations,
activations and copies are passes over memory; every call takes a launch. How often each is paid is fitted to
measured rows: one set of constants for all GPUs in a mode and one for CPUs, never one for a device. This file
does not know kernels, nor clocks that were set by hand.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from netwright.core.workload import BYTES
from netwright.predict import structure
from netwright.predict.learning.table import Floats, Specs, Texts
from netwright.predict.physics import sustained
from netwright.predict.suites import nonnegative

Constants = Mapping[str, Mapping[str, float]]
"""Mode -> part -> how often its plain cost is paid."""
USUAL: Constants = tomllib.loads(Path(__file__).with_name("timm_physics.toml").read_text(encoding="utf-8"))
"""To one digit: what holds where nothing was measured."""
LAUNCH = 1e-6
"""s; the unit in which calls are counted."""


def parts(work: Mapping[str, Floats], batch: Floats, dtypes: Texts, specs: Specs) -> dict[str, Floats]:
    """Plain cost of each part in seconds for one item, each (rows,); work is by structure.FIELDS."""
    width = np.array([BYTES[str(dtype)] for dtype in dtypes])
    held, flow = sustained(specs)
    rate = specs.rate(dtypes) * np.where(width < 4, held, 1.0)
    # PyTorch lets convolutions of fp32 take TF32 where there is such a thing, and no other product
    loose = np.where((width == 4) & (specs.kind.astype(str) == "gpu"), specs.stated("tf32") * held, np.nan)
    move = width / (specs.bandwidth * flow)
    found: dict[str, Floats] = {}
    for kind, fastest in (("conv", np.fmax(rate, loose)), ("linear", rate)):
        found[f"{kind} rate"], found[f"{kind} bytes"] = np.zeros(len(batch)), np.zeros(len(batch))
        for at in range(len(structure.EDGES) + 1):
            flops, numbers, weights = (work[f"{kind}{at}.{what}"] for what in ("flops", "numbers", "weights"))
            found[f"{kind} rate"] += np.maximum(flops / fastest, (numbers + weights / batch) * move)
            found[f"{kind} bytes"] += numbers * move
    for kind in ("grouped", "depthwise", "attention", "batched"):
        found[f"{kind} rate"] = work[f"{kind}.flops"] / rate
        found[f"{kind} bytes"] = (work[f"{kind}.numbers"] + work[f"{kind}.weights"] / batch) * move
    for kind in structure.PASSES:
        found[kind] = work[f"{kind}.numbers"] * move
    found["calls"], found["runs"] = (LAUNCH * work[name] / batch for name in ("calls", "runs"))
    return found


HOST: Mapping[str, tuple[str, float]] = {
    "eager": ("calls", 8e-6), "training": ("calls", 24e-6), "compiled": ("runs", 4e-6), "cpu": ("calls", 0.0),
}  # fmt: skip
"""What a batch takes at least, since a host issues one call after another: s for each call. An assumption, of the usual
size for PyTorch: no row of timm's tables is bound by its host."""
NEVER: Mapping[str, tuple[str, ...]] = {
    "eager": ("fused", "runs"),
    "training": ("fused", "runs"),
    "compiled": ("batch_norm", "norm", "move", "point", "calls"),
    "cpu": ("batch_norm", "norm", "move", "point", "calls"),
}
"""What a mode does not pay: compilers fuse the passes, and nobody else does."""
LEAST_ROWS = 100
"""Of fewer rows, constants are not told apart."""


def fit(plain: Mapping[str, Floats], measured: Floats, modes: Texts, specs: Specs) -> dict[str, dict[str, float]]:
    """Constants from measured seconds of one item."""
    found = {}
    sets = _sets(modes, specs)
    for name in np.unique(sets):
        of = (sets == name) & np.isfinite(plain["calls"])
        paid = [part for part in plain if part not in NEVER[str(name).split(maxsplit=1)[0]]]
        costs = np.stack([plain[part][of] for part in paid], axis=1)
        if of.sum() >= LEAST_ROWS:
            often = nonnegative.fit(costs, measured[of], specs.names[of])
            found[str(name)] = {part: float(f"{n:.4g}") for part, n in zip(paid, often, strict=True) if n > 0}
    return found


def seconds(
    plain: Mapping[str, Floats], modes: Texts, specs: Specs, constants: Constants
) -> tuple[Floats, dict[str, Floats]]:
    """Seconds for one item, NaN where the device or the network is not known, and what they consist of.

    The parts sum up to the seconds unless the host is the slowest.
    """
    distinct, place = np.unique(_sets(modes, specs), return_inverse=True)
    held = [_held(str(name), constants) for name in distinct]
    often = {name: np.array([known.get(name, 0.0) for known in held])[place] for name in plain}
    paid = {name: often[name] * cost for name, cost in plain.items()}
    issue = [HOST[str(name).split(maxsplit=1)[0]] for name in distinct]
    least = np.stack([plain[counted] * each / LAUNCH for counted, each in issue])[place, np.arange(len(place))]
    total: Floats = np.maximum(np.sum(list(paid.values()), axis=0), least)
    return np.where(total > 0, total, np.nan), paid


def _sets(modes: Texts, specs: Specs) -> Texts:
    """Which constants hold for a row: "eager nchw", "training nhwc", "cpu"."""
    return np.where(specs.kind.astype(str) == "cpu", "cpu", modes.astype(str)).astype(object)


def _held(name: str, constants: Constants) -> Mapping[str, float]:
    """The constants of a mode, or the usual ones, or those of the other layout."""
    other = name.replace("nhwc", "nchw")
    places = ((name, constants), (name, USUAL), (other, constants), (other, USUAL))
    return next((table[mode] for mode, table in places if mode in table), USUAL["compiled nchw"])
