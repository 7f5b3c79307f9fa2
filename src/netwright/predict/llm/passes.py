"""What one pass of a language model computes, reads and writes, operator by operator, for many questions at once.

    for part in passes(llm, sequences=32, tokens=1, context=np.array([512, 4096])):
        part.name, part.times, part.flops, part.bytes

The numbers are those of the algorithm, each operand moved once. This file knows no device, no engine and no time; it
does not know how unevenly tokens choose their experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from netwright.core.workload import BYTES
from netwright.predict.learning.table import Floats

if TYPE_CHECKING:
    from netwright.predict.llm import LLM

Num = float | Floats

STORED: Mapping[str, float] = {**BYTES, "fp4": 0.5625, "int4": 0.5625}
"""Bytes a stored weight takes. Four bits carry a scale of one byte for each 16 numbers (NVFP4)."""

COMPUTED: Mapping[str, str] = {"int4": "bf16", "fp64": "fp64", "fp32": "fp32"}
"""What products with weights stored so are computed in; those not named here in the same dtype."""


class Part(NamedTuple):
    """One kind of operator of a pass: how often it comes, and the work of each on one device.

    `flops`, and bytes of `weights`, `read` and `written`, have the shape the questions have together.
    """

    name: str
    times: int
    flops: Floats
    weights: Floats
    read: Floats
    written: Floats
    dtype: str

    @property
    def bytes(self) -> Floats:
        return self.weights + self.read + self.written


def passes(
    llm: LLM, sequences: ArrayLike, tokens: ArrayLike, context: ArrayLike, *, tensor: ArrayLike = 1, data: ArrayLike = 1
) -> Iterator[Part]:
    """One pass of `tokens` new tokens for each of `sequences`, which have `context` tokens behind them.

    All may be arrays. `tensor` devices share each layer's matrices and heads; `data` such groups take a part
    of the sequences each for attention and share the experts (attention data parallelism). Work is that of
    one device. Fractions are meant as means: 0.5 sequences are one in every other group.
    Experts touched by n tokens that choose k of E evenly: E (1 - (1 - k/E)^n).
    """
    b, t, c, tp, dp = np.broadcast_arrays(
        *(np.asarray(x, dtype=float) for x in (sequences, tokens, context, tensor, data))
    )
    own = b / dp
    n, all_n = own * t, b * t
    h, wide = llm.hidden, 2.0 * llm.hidden
    zero = np.zeros_like(n)
    mixed, fed = (COMPUTED.get(w, w) for w in (llm.attention_weights, llm.weights))
    mixing, feeding = STORED[llm.attention_weights], STORED[llm.weights]

    def product(name: str, times: int, numbers: float, of: str, size: float, into: Num, out: Num) -> Part:
        return Part(name, times, 2 * n * numbers / tp, numbers * size / tp + zero, n * into, n * out, of)

    if llm.attention_layers:
        before, after = llm.projections()
        cached, query = llm.cached() * 2.0, 2.0 * llm.heads * (llm.value_dim or llm.head_dim) / tp
        yield product("query, key, value", llm.attention_layers, before, mixed, mixing, wide, query + cached)
        yield from _attention(llm, own, t, c, tp)
        yield product("attention output", llm.attention_layers, after, mixed, mixing, query, wide)
    if llm.linear_layers:
        into = h * (2.0 * llm.linear_key + 2.0 * llm.linear_value)
        value = 2.0 * llm.linear_value / tp
        yield product("linear attention in", llm.linear_layers, into, mixed, mixing, wide, 2 * value)
        state = 2.0 * llm.linear_state * own / tp  # 16 bits; read and written once a pass
        yield Part("state", llm.linear_layers, 6 * n * llm.linear_state / tp, zero, state + n * value, state, "bf16")
        yield product("linear attention out", llm.linear_layers, h * llm.linear_value, mixed, mixing, value, wide)
    matrices = 3 if llm.gated else 2
    if dense := llm.feed_layers - llm.expert_layers:
        yield product("feed-forward", dense, matrices * h * llm.inter, fed, feeding, wide, wide)
    if llm.expert_layers:
        everyone = tp * dp
        one = float(matrices * h * llm.expert_inter)
        touched = llm.experts * -np.expm1(all_n * np.log1p(-min(llm.top_k / llm.experts, 1 - 1e-12)))
        flops, bytes_ = 2 * all_n * llm.top_k * one / everyone, touched * one * feeding / everyone
        moved = all_n * llm.top_k * wide / everyone
        yield Part(
            "router",
            llm.expert_layers,
            2 * n * h * llm.experts,
            2.0 * h * llm.experts + zero,
            n * wide,
            n * 2.0,
            "bf16",
        )
        yield Part("experts", llm.expert_layers, flops, bytes_, moved, moved, fed)
        if llm.shared_inter:
            numbers = matrices * h * llm.shared_inter
            yield product("shared expert", llm.expert_layers, numbers, fed, feeding, wide, wide)
    ends = float(llm.vocab * h)
    yield Part("output", 1, 2 * own * ends / tp, 2 * ends / tp + zero, own * wide, own * 2.0 * llm.vocab / tp, "bf16")


def _attention(llm: LLM, b: Floats, t: Floats, c: Floats, tp: Floats) -> Iterator[Part]:
    """Attention itself in layers that see all, and in those that see a window."""
    kinds = ((llm.attention_layers - llm.window_layers, llm.sparse), (llm.window_layers, llm.window))
    for layers, most in kinds:
        if not layers:
            continue
        seen = c + (t + 1) / 2  # on average, causal
        if most:
            seen = np.minimum(seen, most)
        pairs = b * t * seen
        latent = t <= 1  # the cached latent is used as it is (absorbed); in a long pass keys and values are spread
        if llm.kv_rank:
            absorbed = 2.0 * (2 * llm.kv_rank + llm.rope_dim)
            each = np.where(latent, absorbed, 2.0 * (llm.head_dim + llm.rope_dim + llm.value_dim))
            share = np.ones_like(tp)  # the latent is not divided among devices
        else:
            each = np.full_like(pairs, 4.0 * llm.head_dim)
            share = np.minimum(tp, llm.kv_heads)
        size = llm.cached() * BYTES[llm.kv] / share
        cached = np.minimum(c + t, most) if most else c + t
        queries = 2.0 * llm.heads * (llm.value_dim or llm.head_dim) / tp
        read = b * cached * size + b * t * queries
        flops = pairs * llm.heads * each / tp
        yield Part("attention", layers, flops, np.zeros_like(pairs), read, b * t * (queries + size), "bf16")
