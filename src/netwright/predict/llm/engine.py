"""What one step of an LLM engine takes on one device or several: the physics under the suites of serving.

    load = Load.of(columns, specs)            # a row a question: model, engine, lengths, concurrency, devices
    load.decode.total                         # s, one token for each sequence in flight
    load.prompt                               # s of the devices' time that one prompt takes
    load.per_token                            # s between two tokens of an answer, with the prompts in between

Every kernel takes the longer of its arithmetic and its reading, and its launch; the devices of a worker exchange
activations twice a layer; the scheduler adds its time to each step. With R requests kept in flight, each answer
of `osl` tokens pays one prompt, so R / osl prompts come into each step. This file does not know an
engine's settings, speculative decoding, or how unevenly tokens choose their experts.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from netwright.predict import llm
from netwright.predict.learning.table import Columns, Floats, Specs, Texts
from netwright.predict.llm import LLM
from netwright.predict.llm.passes import passes

COMPUTE, BANDWIDTH = 0.55, 0.9
"""Share of the peaks that products and reads reach in a running engine. These and the constants below were fitted
to the median on rows of H100 and H200, without the newer devices, and rounded."""
EXPERTS, SPREAD = 0.7, 0.5
"""Share of the bandwidth where experts are read, and where 4-bit experts are first spread to 16 bits. Kernels
measured alone on H100 and H200 (moe_perf) reach 0.5 to 0.65, and 0.3 to 0.5."""
PROMPT = 0.6
"""Share of the peak rate that products of whole prompts reach."""
LINK = 0.35
"""Share of the link's rate that an exchange reaches."""
ALPHA = 9e-6
"""s, latency of one exchange among the devices of a worker."""
KERNEL = {"trtllm": 4e-6, "vllm": 5e-6, "sglang": 4.5e-6, "": 4.5e-6}
"""s a kernel takes that does next to nothing, inside of a CUDA graph, by engine; "" is any other."""
HOST = {"trtllm": 0.8e-3, "vllm": 0.5e-3, "sglang": 2.4e-3, "": 1e-3}
"""s of scheduler, sampling and transfer a step."""
CACHE = {"trtllm": 0.68, "vllm": 0.95, "sglang": 1.3, "": 1.0}
"""Time of reading the cache, in units of a 16-bit cache at BANDWIDTH: TensorRT-LLM keeps it in 8 bits."""
KERNELS = {"query, key, value": 3.0, "attention": 1.5, "attention output": 1.0, "linear attention in": 2.0,
           "state": 1.5, "linear attention out": 2.0, "feed-forward": 4.0, "router": 2.0, "experts": 5.0,
           "shared expert": 3.0, "output": 1.5}  # fmt: skip
"""Kernels of each part: norms, rotary embedding, activation, routing and combination beside the products. Latent
attention has four more before and two more inside, an indexer of sparse attention five."""
ROOM = 0.9
"""Share of the memory that weights and cache may fill."""
BUDGET = 8192
"""Tokens that prompts bring into one pass at most."""
NODE = 8
"""Devices that share a node's links; more of them exchange over the network."""
SLOWEST_LINK = 32e9
"""B/s between devices whose link no source gives: PCI Express 4.0 x 16."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Seconds of one pass of each row, shape (rows,), as parts that add up: each kernel is told as what bounds it."""

    reading: Floats
    """Of weights and activations."""
    cache: Floats
    experts: Floats
    compute: Floats
    launch: Floats
    latency: Floats
    """Of the exchanges, whatever their size."""
    exchange: Floats

    @property
    def total(self) -> Floats:
        total: Floats = np.sum([getattr(self, name) for name in PARTS], axis=0)
        return total


PARTS = ("reading", "cache", "experts", "compute", "launch", "latency", "exchange")


@dataclass(frozen=True, kw_only=True)
class Load:
    """A pool of devices under load, a row a question; shape (rows,)."""

    decode: Pass
    single: Floats
    """s of one pass of one prompt (of each data-parallel group)."""
    prompt: Floats
    """s of the pool's time that a prompt takes, several in one pass where they are short."""
    share: Floats
    """Prompts that come in between two tokens of an answer; 0 where prompts have devices of their own."""
    host: Floats
    running: Floats
    """Sequences that a worker holds at a time: as many as are kept in flight, unless the cache is full before."""
    room: Floats
    """Sequences whose cache fits; below 1 where not even one does."""
    weights: Floats
    """B of all weights."""
    shapes: tuple[LLM, ...]

    @classmethod
    def of(cls, columns: Columns, specs: Specs) -> Load:
        """`columns`: llm, weights, engine, served; isl, osl, concurrency, workers, tensor, data, devices, and the
        last four again with `prefill_` for the devices that read prompts."""
        isl, osl, data, prefill = (columns[name] for name in ("isl", "osl", "data", "prefill_data"))
        one = np.ones(len(isl))
        shapes = tuple(shape_of(a, b) for a, b in zip(columns["llm"], columns["weights"], strict=True))
        weights = np.array([shape.weight_bytes for shape in shapes])
        context = isl + osl / 2
        kept = np.array([shape.cache_bytes(int(n)) for shape, n in zip(shapes, context, strict=True)])
        eight = np.isin(columns["weights"].astype(str), ("fp8", "fp4")) & (columns["engine"] != "sglang")
        heads = np.array([1 if shape.kv_rank else shape.kv_heads for shape in shapes])
        copies = np.maximum(columns["tensor"] / heads, 1.0)
        free = ROOM * specs.memory * columns["devices"] - weights
        room = free / (kept * np.where(eight, 0.5, 1.0) * copies)
        running = np.minimum(columns["concurrency"] / columns["workers"], np.maximum(room, 1.0))
        where = (columns["tensor"], data)
        decode = step(columns, specs, sequences=running, tokens=one, context=context, where=where)
        where = (columns["prefill_tensor"], prefill)
        first = step(columns, specs, sequences=prefill, tokens=isl, context=0 * one, where=where)
        many = np.clip(BUDGET / isl, 1.0, np.maximum(running / data, 1.0)) * prefill
        together = step(columns, specs, sequences=many, tokens=isl, context=0 * one, where=where)
        return cls(
            decode=decode, single=first.total, prompt=together.total / many,
            share=np.where(columns["served"] == "agg", running / osl, 0.0), host=by_engine(HOST, columns),
            running=running, room=room, weights=weights, shapes=shapes,
        )  # fmt: skip

    @property
    def stolen(self) -> Floats:
        """s that other prompts add to each token of an answer."""
        return self.share * self.prompt

    @property
    def per_token(self) -> Floats:
        return self.decode.total + self.host + self.stolen


def step(
    columns: Columns, specs: Specs, *, sequences: Floats, tokens: Floats, context: Floats, where: tuple[Floats, Floats]
) -> Pass:
    """One pass of `tokens` new tokens for each of `sequences`, on `where` = (tensor, data) parallel devices."""
    made = {name: np.zeros(len(sequences)) for name in PARTS}
    models = list(zip(columns["llm"], columns["weights"], strict=True))
    kernel, cached = by_engine(KERNEL, columns), by_engine(CACHE, columns)
    for model in dict.fromkeys(models):
        of = np.array([at for at, other in enumerate(models) if other == model])
        shape, own = shape_of(*model), specs.take(of)
        b, t, c, tp, dp = (x[of] for x in (sequences, tokens, context, *where))
        reached = np.where(t > 1, PROMPT, COMPUTE)
        for part in passes(shape, b, t, c, tensor=tp, data=dp):
            rate, native = _rate(own, part.dtype)
            compute = part.times * part.flops / (reached * rate)
            spread = ~native | (shape.weights == "int4")
            reach = np.where(spread, SPREAD, EXPERTS) if part.name == "experts" else BANDWIDTH
            reading = part.times * part.bytes / (reach * own.bandwidth)
            if part.name == "attention":
                reading = reading * cached[of]
            into = (
                "cache" if part.name in ("attention", "state") else "experts" if part.name == "experts" else "reading"
            )
            made["compute"][of] += np.where(compute > reading, compute, 0.0)
            made[into][of] += np.where(compute > reading, 0.0, reading)
            made["launch"][of] += part.times * kernels(part.name, shape) * kernel[of]
        rounds, seconds = _exchanged(shape, own, t * b / dp, tp, dp)
        made["latency"][of], made["exchange"][of] = rounds * ALPHA, seconds
        unknown = np.isnan(own.bandwidth) | np.isnan(own.rate("bf16"))
        made["reading"][of] = np.where(unknown, np.nan, made["reading"][of])
    return Pass(**made)


def _exchanged(shape: LLM, specs: Specs, tokens: Floats, tensor: Floats, data: Floats) -> tuple[Floats, Floats]:
    """Exchanges of a pass, and s that their bytes take.

    Tensor-parallel devices add up activations twice a layer: a ring sends and receives each 16-bit number once. Data-
    parallel groups send each token to its experts in 8 bits and take it back in 16 (DeepSeek-V3, arXiv 2412.19437).
    """
    group = tensor * data
    sums = 2.0 * shape.hidden * 2 * (tensor - 1) / tensor * tokens
    routed = 3.0 * shape.hidden * np.minimum(shape.top_k, group - 1) * tokens / tensor
    layers = shape.layers + np.where(data > 1, shape.feed_layers - shape.expert_layers, shape.feed_layers)
    bytes_ = layers * sums + np.where(data > 1, shape.expert_layers * routed, 0.0)
    rounds = np.where(tensor > 1, layers, 0.0) + np.where(data > 1, 2.0 * shape.expert_layers, 0.0)
    inside = np.where(
        np.isnan(specs.link), np.where(np.isnan(specs.host_link), SLOWEST_LINK, specs.host_link), specs.link
    )
    far = (group > NODE) & (specs.network > 0)
    return rounds, bytes_ / (LINK * np.where(far, specs.network, inside))


def kernels(part: str, shape: LLM) -> float:
    """Kernels that an engine launches for a part of a layer."""
    latent = 4.0 if part == "query, key, value" else 2.0 if part == "attention" else 0.0
    indexer = 5.0 if part == "query, key, value" and shape.sparse else 0.0
    return KERNELS[part] + (latent if shape.kv_rank else 0.0) + indexer


@functools.cache
def shape_of(model: str | LLM, weights: str) -> LLM:
    """The model, or that of the name, with its weights in that dtype and a cache of 16 bits."""
    shape = model if isinstance(model, LLM) else llm.known()[model]
    shape = shape if shape.weights == weights else llm.quantized(shape, weights)
    return replace(shape, kv="bf16")


def by_engine(table: Mapping[str, float], columns: Columns) -> Floats:
    return np.array([table.get(str(engine), table[""]) for engine in columns["engine"]])


def _rate(specs: Specs, dtype: str) -> tuple[Floats, Texts]:
    """Arithmetic per second, and whether the device computes in that dtype; four bits are spread to 16 where not."""
    stated = specs.stated(dtype)
    native = ~np.isnan(stated)
    return np.where(native, stated, specs.rate("bf16" if dtype == "fp4" else dtype)), native
