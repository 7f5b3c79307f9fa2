"""Attention kernels of LLM engines: what the suites of prompts (context) and of single tokens (generation) share.

    columns, refused = read(folder, "context_attention")
    described = describe(columns, Specs.of(columns["device"], devices))

`q` new tokens of each of `batch` sequences look at those before them, `heads` query heads in groups that share one of
`kv_heads` pairs of keys and values. Two products and one exponential a pair of tokens, which do not overlap (see
EXPONENTIALS), beside the reading of keys and values. It does not know which kernel an engine picks, nor whether a
kernel skips what a window hides. Form: FlashAttention, Dao et al. (2022); exponentials: Shah et al.,
FlashAttention-3 (2024), who give 16 a cycle for a multiprocessor of the H100.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netwright.predict import physics
from netwright.predict.learning.table import Columns, Described, Floats, Specs, Texts
from netwright.predict.suites import kernels

EXPONENTIALS = 16.0
"""A cycle and unit: NVIDIA's CUDA programming guide, arithmetic instructions, compute capability 8.0 to 10.0."""
DOUBLED = "b300"
"""In the names of chips with twice as many: NVIDIA, "Inside NVIDIA Blackwell Ultra" (2025), 10.7 against 5 tera/s."""
PROMPT, TOKEN = 16e3, 16e3
"""Cycles beside the launch: rotation, cache update and bookkeeping, for prompts and for single tokens."""
CONVERTS = 2.0
"""Small kernels that SGLang runs beside attention to keep keys and values in 8 bits."""
ENGINES = 1.17, 1.4
"""How much longer engines take than these parts together, for single tokens and prompts: the median over chips."""
READS = 90.0
"""Bytes a cycle that one unit reads at most: few sequences do not fill the memory."""
PART = 256.0
"""Keys of the shortest part that the keys of one sequence are split into, to keep units busy."""
TILE = 64.0
"""Queries, and keys, that are worked on together."""
PACKED = 64.0
"""Rows that a matrix instruction works on, of which the heads of a group fill few where there is one token."""
ROTATED = 0.7
"""How often queries, keys and values are read and written beside the attention itself."""

NUMBERS = ("batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim")


def read(folder: Path, name: str) -> tuple[Columns, dict[str, int]]:
    """Rows of kernels/NAME_perf.parquet; `step` and `window_size` may be missing."""
    texts = ("attn_dtype", "kv_cache_dtype")
    columns, refused = kernels.table(folder, name, numbers=NUMBERS, texts=texts, zero=("step", "window_size"))
    columns["attn_dtype"] = np.where(columns["attn_dtype"] == "", "bfloat16", columns["attn_dtype"])
    columns["kv_cache_dtype"] = np.where(
        columns["kv_cache_dtype"] == "", columns["attn_dtype"], columns["kv_cache_dtype"]
    )
    for column in texts:
        columns = kernels.known_format(columns, column, refused)
    uneven = columns["num_heads"] % columns["num_key_value_heads"] != 0
    columns = kernels.drop(columns, uneven, refused, "heads are no multiple of the key-value heads")
    shape = (*NUMBERS, "step", "window_size", "attn_dtype", "kv_cache_dtype")
    columns["work"] = kernels.join(*(columns[part] for part in shape))
    columns["mode"] = kernels.join(columns["engine"], _kernel(columns["kernel_source"]))
    columns["family"] = kernels.join(columns["attn_dtype"], columns["kv_cache_dtype"])
    return columns, dict(refused)


def describe(columns: Columns, specs: Specs) -> Described:
    batch, q, heads, kv_heads, width = (columns[name].astype(float) for name in NUMBERS)
    past, window = columns["step"].astype(float), columns["window_size"].astype(float)
    formats, cached = columns["attn_dtype"].astype(str), columns["kv_cache_dtype"].astype(str)
    chip = physics.Chip.of(specs)
    rate = specs.rate(kernels.of_format(formats, "compute"))
    alone = q == 1
    windowed = (window > 0) & (window < past + q)
    seen = _seen(q, past, np.where(windowed, window, past + q))
    rows = np.where(alone, kv_heads * np.ceil(heads / kv_heads / PACKED) * PACKED, heads * np.ceil(q / TILE) * TILE)
    keys = np.where(alone, np.ceil(seen / 64) * 64, seen + TILE / 2 * (1 + windowed))
    pairs = batch * rows * keys
    full = physics.slowed(chip, rate)
    twice = kernels.contains(specs.names, DOUBLED) > 0
    exponentials = EXPONENTIALS * np.where(twice, 2.0, 1.0) * chip.units * chip.clock
    products, softmax = 4 * width * pairs / full, pairs / exponentials
    longest = (
        TILE * (np.minimum(past + q, np.where(windowed, window + TILE, np.inf)) + TILE) * np.where(alone, 0.0, 1.0)
    )
    longest = longest * (4 * width / full + 1 / exponentials) * chip.units
    each = kernels.of_format(cached, "weight").astype(float)
    reach = np.minimum(past + q, np.where(windowed, window + q, np.inf))
    moved = batch * width * (4 * q * heads + 2 * kv_heads * reach * each)
    streams = batch * kv_heads
    parts = np.where(alone, np.clip(np.minimum(chip.units / streams, seen / PART), 1, None), 1.0)
    one = moved / (np.minimum(chip.units, streams * parts) * READS * chip.clock)
    memory = physics.started(chip, physics.joined(physics.streamed(chip, moved, moved), np.where(alone, one, 0.0)))
    passed = np.where(alone, 0.0, ROTATED * batch * width * q * (heads + 2 * kv_heads) * 4)
    around = physics.streamed(chip, passed, passed)
    converts = (columns["engine"] == "sglang") & (each < 2)
    idle = physics.launch(chip) + np.where(alone, TOKEN, PROMPT) / chip.clock
    idle = idle + physics.calls(chip, np.where(converts, CONVERTS, 0.0))
    work = physics.joined(products + softmax, longest, sharpness=2)
    time = idle + physics.joined(work, memory) + around + np.where(parts > 1, physics.USUAL.split / chip.clock, 0.0)
    time = time * np.where(alone, *ENGINES)
    with np.errstate(divide="ignore", invalid="ignore"):
        told = {
            "log time": np.log2(time / idle),
            "launches": idle / time,
            "arithmetic / memory": np.log2(work / memory),
            "softmax / arithmetic": softmax / (products + softmax),
            "longest / arithmetic": np.log2(longest / (products + softmax)),
            "padding": np.log2(pairs / (batch * heads * q * seen)),
            "around": around / time,
            "tiles a unit": np.log2(batch * np.where(alone, kv_heads, heads * np.ceil(q / TILE)) / chip.units),
            "hidden by the window": np.log2(_seen(q, past, past + q) / seen),
            "heads a group": np.log2(heads / kv_heads),
            "width": np.log2(width / 128),
            "parts": np.log2(parts),
            "queries": np.log2(q),
            "keys": np.log2(seen),
            "cache": np.log2(moved / chip.cache),
            "8 bit cache": (each < 2).astype(float),
            "8 bit products": (kernels.of_format(formats, "weight") < 2).astype(float),
            **{f"engine {name}": kernels.contains(columns["engine"], name) for name in ("trtllm", "vllm", "sglang")},
            "kernel triton": kernels.contains(columns["kernel_source"], "triton"),
            "kernel flashinfer": kernels.contains(columns["kernel_source"], "flashinfer"),
            "kernel flash attention": kernels.contains(columns["kernel_source"], "fa2", "fa3", "fa4", "flash_att"),
            "kernel trtllm": kernels.contains(columns["kernel_source"], "trtllm"),
            "kernel for tokens": kernels.contains(columns["kernel_source"], "decode"),
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
    batch, q, heads, kv_heads, width = (columns[name].astype(float) for name in NUMBERS)
    past, window = columns["step"].astype(float), columns["window_size"].astype(float)
    reach = np.where(window > 0, np.minimum(window, past + q), past + q)
    rate = specs.rate(kernels.of_format(columns["attn_dtype"], "compute"))
    each = kernels.of_format(columns["kv_cache_dtype"], "weight").astype(float)
    keys = np.minimum(past + q, reach + q)
    moved = batch * width * (4 * q * heads + 2 * kv_heads * keys * each)
    flops = 4 * width * batch * heads * q * _seen(q, past, reach)
    longer: Floats = np.log(np.maximum(flops / rate, moved / specs.bandwidth))
    return longer


def _seen(q: Floats, past: Floats, window: Floats) -> Floats:
    """Keys that one of q new tokens sees on average: all before it and itself, of those the last `window`."""
    whole = np.clip(window - past, 0, q)  # tokens that see everything before them
    total = whole * past + whole * (whole + 1) / 2 + (q - whole) * window
    found: Floats = total / q
    return found


def _kernel(source: Texts) -> Texts:
    """A word for who wrote the kernel."""
    found = np.full(len(source), "other", dtype=object)
    for word in ("torch_flow", "triton", "flashinfer", "fa2", "fa3", "fa4", "flash_att", "trtllm"):
        found[kernels.contains(source, word) > 0] = word
    return found
