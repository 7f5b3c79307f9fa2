"""Products of matrices as the engines of LLMs run them (kernels/gemm_perf.parquet): (m, k) by (k, n) weights.

    columns, refused = read(folder)
    described = describe(columns, Specs.of(columns["device"], devices))

The base is the product in its best tiles beside the memory, the kernels that bring activations into the format, and
the launches of engines that run without a graph. It does not know which of its kernels a library picks, nor how
much better one is written than another: that is learned, where rows tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from netwright.predict import physics
from netwright.predict.learning.table import Columns, Described, Floats, Specs, Texts, take
from netwright.predict.suites import kernels

NAME = "gemm"
QUANTITY = "latency"
REGIMES = ("launches", "arithmetic / memory", "log time")
PARAMS = {"num_iterations": 200, "num_leaves": 16, "min_data_in_leaf": 100, "lambda_l2": 10.0}
SPLITS = kernels.SPLITS
BLOCKS = ("fp8_block", "nvfp4", "w4a8_mxfp4_mxfp8")
FITTED = 400
"""Rows of a chip design that the constants are fitted to."""
MOST = {"reached": 0.97, "peak": 0.97}
WILD, PULL = 0.6, 1e-3
"""Deviations (in logs) beyond WILD count alike; PULL holds what few rows tell near what is usual."""
EAGER = 45e-6
"""s that a launch takes the host where an engine runs no graph: vLLM's fp8_block rows, 2 to 5 kernels each."""
CALLS = (
    ("trtllm", "torch_flow", "fp8", 4.0),
    ("trtllm", "torch_flow", "nvfp4", 2.0),
    ("vllm", "flashinfer", "nvfp4", 2.0),
    ("vllm", "cutlass", "fp8_block", 3.0),
    ("vllm", "flashinfer", "fp8_block", 0.3),
    ("trtllm", "plugin", "", 2.5),
)
"""Engine, a word of the kernel's name, format -> small kernels beside the product, told by the time of the smallest
products; else one where activations are brought into a format, and none where not."""
PACKED = 4.0
"""The same for DeepGEMM where its scales must be packed: chips with fp4 units, unless the engine packs them itself."""
PASSES, LOCAL, SLOWER = 2.0, 1.2, 2.0
"""How often activations are read and written in the kernels that bring them into a format: with one scale for a whole
row, with scales of short blocks, which are found on the way, and how much more in vLLM's fp8."""


def read(folder: Path) -> tuple[Columns, dict[str, int]]:
    columns, refused = kernels.table(folder, "gemm", numbers=("m", "n", "k"), texts=("gemm_dtype",))
    columns = kernels.known_format(columns, "gemm_dtype", refused)
    return labelled(columns), dict(refused)


def labelled(columns: Columns) -> Columns:
    """Rows with what the machinery wants beside the physics: "work", "mode" and "family"."""
    work = kernels.join(*(columns[name] for name in ("gemm_dtype", "m", "n", "k")))
    mode = kernels.join(columns["engine"], _kernel(columns["kernel_source"]))
    return {**columns, "work": work, "mode": mode, "family": columns["gemm_dtype"]}


def fit_constants(columns: Columns, specs: Specs) -> dict[str, float]:
    """Of the physics, by the median deviation over chips alike: coordinate descent from what Ampere and Hopper tell."""
    rng = np.random.default_rng(0)
    chips = specs.chips.astype(str)
    kept = np.concatenate([rng.permutation(np.flatnonzero(chips == chip))[:FITTED] for chip in np.unique(chips)])
    some, own, chips = take(columns, kept), specs.take(kept), chips[kept]
    logs = np.log(some["value"].astype(float))

    def loss(constants: dict[str, float]) -> float:
        off = np.minimum(np.abs(logs - describe(some, own, constants).base), WILD)
        away = sum(math.log(value / usual[name]) ** 2 for name, value in constants.items())
        return float(np.mean([np.nanmean(off[chips == chip]) for chip in np.unique(chips)])) + PULL * away

    usual = asdict(physics.USUAL)
    found, least = dict(usual), loss(usual)
    for size in (0.2, 0.1, 0.05, 0.05):
        for name in usual:
            for sign in (1, -1):
                tried = found | {name: min(found[name] * math.exp(sign * size), MOST.get(name, math.inf))}
                if (value := loss(tried)) < least:
                    found, least = tried, value
                    break
    return found


def describe(columns: Columns, specs: Specs, constants: Mapping[str, float] | None = None) -> Described:
    m, n, k = (columns[name].astype(float) for name in ("m", "n", "k"))
    formats = columns["gemm_dtype"].astype(str)
    weight, activation = (kernels.of_format(formats, of).astype(float) for of in ("weight", "activation"))
    rounds = kernels.of_format(formats, "rounds").astype(bool)
    rate = specs.rate(kernels.of_format(formats, "compute"))
    chip = physics.Chip.of(specs, physics.Constants(**constants) if constants else physics.USUAL)
    kept = chip.constants.copies * n * k * weight + m * k * activation + 2 * m * n
    made = physics.product(chip, m=m, n=n, k=k, rate=rate, left=activation, right=weight, out=2.0, kept=kept)
    extra, eager = _calls(columns, specs, rounds)
    passes = np.where(np.isin(formats, BLOCKS), LOCAL, PASSES)
    passes = np.where((columns["engine"] == "vllm") & (formats == "fp8"), SLOWER * PASSES, passes)
    brought = np.where(rounds, passes * m * k * (2 + activation), 0.0)
    before = physics.streamed(chip, brought, chip.constants.copies * m * k * (2 + activation)) + physics.calls(
        chip, extra
    )
    idle = physics.launch(chip)
    host = np.where(eager, EAGER * (1 + extra), 0.0)
    time = physics.joined(idle + made.time + before, host, sharpness=4)
    ideal = 2 * m * n * k / rate
    with np.errstate(divide="ignore", invalid="ignore"):
        told = {
            "log time": np.log2(time / idle),
            "launches": (idle + physics.calls(chip, extra)) / time,
            "host": host / time,
            "preparation": before / time,
            "arithmetic / memory": np.log2(made.tiles / made.memory),
            "tiles / arithmetic": np.log2(made.tiles / ideal),
            "waves": np.log2(made.waves),
            "parts": np.log2(made.parts),
            "output / cache": np.log2(2 * m * n / chip.cache),
            "weights / cache": np.log2(n * k * weight / chip.cache),
            "activations / cache": np.log2(m * k * activation / chip.cache),
            "rows of the last tile": m / (np.ceil(m / 128) * 128),
            "odd rows": (m % 8 > 0).astype(float),
            **{f"engine {name}": kernels.contains(columns["engine"], name) for name in ("trtllm", "vllm", "sglang")},
            **{f"kernel {name}": kernels.contains(columns["kernel_source"], name) for name in ("deepgemm", "cutlass")},
            "kernel cutedsl": kernels.contains(columns["kernel_source"], "cutedsl", "cute_dsl"),
            "kernel flashinfer": kernels.contains(columns["kernel_source"], "flashinfer"),
            "kernel torch": kernels.contains(columns["kernel_source"], "torch"),
            "rounds activations": rounds.astype(float),
            "blocks": (formats == "fp8_block").astype(float),
            "weights only": (weight < activation).astype(float),
        }
        base = np.log(time)
    features = np.stack(list(told.values()), axis=1)
    features[~np.isfinite(features)] = np.nan
    refused = ~np.isfinite(base)
    why = np.where(refused, "no rate, bandwidth or shape is known", "").astype(object)
    return Described(
        base=base, features=features, names=tuple(told), monotone=(0,) * len(told), refused=refused, why=why
    )


def roofline(columns: Columns, specs: Specs) -> Floats:
    """Logarithm of the longer of arithmetic and memory at their stated peaks, s."""
    m, n, k = (columns[name].astype(float) for name in ("m", "n", "k"))
    weight, activation = (kernels.of_format(columns["gemm_dtype"], of).astype(float) for of in ("weight", "activation"))
    rate = specs.rate(kernels.of_format(columns["gemm_dtype"], "compute"))
    moved = m * k * activation + n * k * weight + 2 * m * n
    longer: Floats = np.log(np.maximum(2 * m * n * k / rate, moved / specs.bandwidth))
    return longer


def _calls(columns: Columns, specs: Specs, rounds: Floats) -> tuple[Floats, Floats]:
    """Small kernels beside each product, and whether the engine launches them one by one."""
    engine, source = columns["engine"].astype(str), columns["kernel_source"].astype(str)
    formats = columns["gemm_dtype"].astype(str)
    found = np.where(rounds, 1.0, 0.0)
    packs = np.isfinite(specs.stated("fp4")) & (engine != "trtllm")
    found = np.where(packs & (kernels.contains(source, "deepgemm") > 0) & (formats == "fp8_block"), PACKED, found)
    for whose, word, of, count in CALLS:
        here = (engine == whose) & (kernels.contains(source, word) > 0) & ((formats == of) | (of == ""))
        found = np.where(here, count, found)
    return found, (engine == "vllm") & (formats == "fp8_block")


def _kernel(source: Texts) -> Texts:
    """A word for who wrote the kernel."""
    found = np.full(len(source), "other", dtype=object)
    for word in ("torch", "triton", "cutlass", "flashinfer", "deepgemm", "cutedsl", "plugin"):
        found[kernels.contains(source, word) > 0] = word
    return found
