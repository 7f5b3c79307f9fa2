"""Mixtures of experts in LLM engines (kernels/moe_perf.parquet and wideep_*moe_perf.parquet): one layer of one device.

    columns, refused = read(folder)
    described = describe(columns, Specs.of(columns["device"], devices))

Each token goes to `topk` of `num_experts` experts, of which the device holds one in `moe_ep_size`, each cut into
`moe_tp_size` parts. The base: two grouped products over the experts that are touched, rows of each expert in tiles,
beside the reading of their weights; sorting and adding up around them. Touched are, of E experts that n tokens
choose k of alike, E (1 - (1 - k/E)^n): fewer where the choice follows a power law. It does not know the counts
of tokens that were drawn, nor which kernels an engine fuses.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from netwright.predict import physics
from netwright.predict.learning.table import Columns, Described, Floats, Specs, Texts
from netwright.predict.suites import kernels

NAME = "moe"
QUANTITY = "latency"
REGIMES = ("launches", "arithmetic / memory", "log time")
PARAMS = {"num_iterations": 300, "num_leaves": 24, "min_data_in_leaf": 80}
SPLITS = kernels.SPLITS
NUMBERS = ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size")
FUSED = "dsv4_megamoe_module"
"""The file of a kernel that also exchanges the tokens between devices; it counts the tokens of one of them."""
FILES = ("moe", "wideep_context_moe", "wideep_generation_moe", "wideep_moe", FUSED)
AROUND = 9.0
"""Small kernels beside the two products: routing, sorting, activation, adding up."""
PASSES = 2.0
"""How often the rows of the experts are read and written in them."""
WHOLE = 8.0
"""How often all tokens, also those of experts elsewhere, are read or written; DeepEP hands over only its own."""
SKEW = 0.33
"""The most loaded of n devices has n^(SKEW x exponent) times the mean where experts are chosen by a power law: from
the counts of tokens in wideep_moe_perf.parquet, 6.0 and 8.4 times for 256 devices and exponents 1.01 and 1.2."""
TAILORED, GENERIC = ("trtllm", "megamoe"), 1.25
"""Kernels written for one chip reach what a plain product does; the others take so much longer."""
BALANCED = "eplb"
"""In the name of a distribution: experts were moved or doubled so that devices have alike."""
_EXPONENT = re.compile(r"power_law_?(?:sampled_)?([0-9.]+)")


def read(folder: Path) -> tuple[Columns, dict[str, int]]:
    parts = []
    refused: Counter[str] = Counter()
    for name in FILES:
        found, why = kernels.table(folder, name, numbers=NUMBERS, texts=("moe_dtype", "distribution"))
        if name == FUSED:
            found["num_tokens"] = found["num_tokens"] * found["moe_ep_size"]
        parts.append(found | {"file": np.full(len(found["value"]), name, dtype=object)})
        refused += why
    columns: Columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns = kernels.known_format(columns, "moe_dtype", refused)
    columns = kernels.drop(
        columns, columns["topk"] > columns["num_experts"], refused, "more experts chosen than there are"
    )
    shape = (*(columns[name] for name in NUMBERS), columns["moe_dtype"], columns["distribution"], columns["file"])
    columns["work"] = kernels.join(*shape)
    columns["mode"] = kernels.join(columns["engine"], _kernel(columns["kernel_source"]))
    columns["family"] = columns["moe_dtype"]
    return columns, dict(refused)


def describe(columns: Columns, specs: Specs) -> Described:
    tokens, hidden, inner, topk, experts, cut, spread = (columns[name].astype(float) for name in NUMBERS)
    formats = columns["moe_dtype"].astype(str)
    weight, activation = (kernels.of_format(formats, of).astype(float) for of in ("weight", "activation"))
    rate = specs.rate(kernels.of_format(formats, "compute"))
    chip = physics.Chip.of(specs)
    exponent = _exponent(columns["distribution"])
    gates = _gates(columns)
    inner = inner / cut
    here = experts / spread
    touched = np.maximum(
        here * -np.expm1(tokens * np.log1p(-np.minimum(topk / experts, 1 - 1e-9))), np.minimum(here, 1.0)
    )
    balanced = kernels.contains(columns["distribution"], BALANCED) > 0
    routed = tokens * topk / spread * spread ** (SKEW * np.where(balanced, 0.0, exponent))
    routed = np.minimum(routed, tokens * np.minimum(topk, here))
    each = np.maximum(routed / touched, 1.0)
    sides = {"count": touched, "m": each, "rate": rate, "left": activation, "right": weight, "out": 2.0}
    up = physics.product(chip, n=gates * inner, k=hidden, **sides)
    down = physics.product(chip, n=hidden, k=inner, **sides)
    whole = np.where(kernels.contains(columns["kernel_source"], "deepep", "megamoe") > 0, 0.0, WHOLE)
    passed = (whole * tokens * hidden + PASSES * routed * (hidden + inner)) * 2
    around = physics.streamed(chip, passed, passed) + physics.calls(chip, AROUND)
    idle = physics.launch(chip) * 2
    made = (up.time + down.time) * np.where(kernels.contains(columns["kernel_source"], *TAILORED) > 0, 1.0, GENERIC)
    time = idle + made + around
    flops = 2 * routed * hidden * inner * (gates + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        told = {
            "log time": np.log2(time / idle),
            "launches": (idle + physics.calls(chip, AROUND)) / time,
            "around": around / time,
            "arithmetic / memory": np.log2((up.tiles + down.tiles) / (up.memory + down.memory)),
            "tiles / arithmetic": np.log2((up.tiles + down.tiles) / (flops / rate)),
            "waves": np.log2(up.waves),
            "rows an expert": np.log2(each),
            "experts touched": np.log2(touched),
            "share touched": touched / here,
            "experts over": np.log2(spread),
            "exponent": exponent,
            "balanced": balanced.astype(float),
            "weights / cache": np.log2(touched * (gates + 1) * hidden * inner * weight / chip.cache),
            "rows / cache": np.log2(routed * hidden * 2 / chip.cache),
            "bytes a weight": np.log2(weight),
            "rounds activations": (activation < 2).astype(float),
            "weights only": (weight < activation).astype(float),
            "kernel triton": kernels.contains(columns["kernel_source"], "triton"),
            "kernel marlin": kernels.contains(columns["kernel_source"], "marlin"),
            "kernel deepep": kernels.contains(columns["kernel_source"], "deepep"),
            "prompt": kernels.contains(columns["file"], "context"),
            "exchanges": kernels.contains(columns["file"], FUSED),
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
    """Logarithm of the longer of arithmetic and reading the touched weights at the stated peaks, s."""
    tokens, hidden, inner, topk, experts, cut, spread = (columns[name].astype(float) for name in NUMBERS)
    rate = specs.rate(kernels.of_format(columns["moe_dtype"], "compute"))
    weight = kernels.of_format(columns["moe_dtype"], "weight").astype(float)
    touched = experts / spread * -np.expm1(tokens * np.log1p(-np.minimum(topk / experts, 1 - 1e-9)))
    one = (_gates(columns) + 1) * hidden * inner / cut
    longer: Floats = np.log(
        np.maximum(2 * tokens * topk / spread * one / rate, touched * one * weight / specs.bandwidth)
    )
    return longer


def _gates(columns: Columns) -> Floats:
    """Matrices before the activation: two where one gates the other, one in NVIDIA Nemotron 3 (squared ReLU).

    Rows do not name the model: Nemotron is known by its experts, 22 of 512 or 2688 x 1856, and its kernels by their
    times, which lie up to 1.5 times below what reading three matrices takes; not so those of SGLang in Triton.
    """
    nemotron = (columns["topk"] == 22) | ((columns["hidden_size"] == 2688) & (columns["inter_size"] == 1856))
    gated = (columns["engine"] == "sglang") & (kernels.contains(columns["kernel_source"], "triton") > 0)
    single = (kernels.contains(columns["kernel_source"], "nongated") > 0) | (nemotron & ~gated)
    found: Floats = np.where(single, 1.0, 2.0)
    return found


def _exponent(names: Texts) -> Floats:
    """Of the power law that experts are chosen by; 0 where they are chosen alike."""
    distinct, place = kernels.coded(names)
    found = [float(match[1]) if (match := _EXPONENT.search(name)) else 0.0 for name in distinct]
    return np.array(found)[place] if len(names) else np.zeros(0)


def _kernel(source: Texts) -> Texts:
    """A word for who wrote the kernel."""
    found = np.full(len(source), "other", dtype=object)
    for word in ("torch_flow", "cutlass", "trtllm", "triton", "marlin", "nongated", "deepep", "megamoe"):
        found[kernels.contains(source, word) > 0] = word
    return found
