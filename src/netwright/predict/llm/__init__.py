"""LLM: a language model by its shape, and what one pass of it computes, reads and holds. No weights, no torch.

    llm = find("Qwen/Qwen3-30B-A3B")              # also a config.json, or "layers=32,hidden=4096,heads=32,..."
    llm.parameters, llm.active, llm.weight_bytes, llm.kv_bytes
    llm.prefill(batch=1, tokens=1024)             # Workload: the operators of reading a prompt
    llm.decode(batch=32, context=2048)            # Workload: those of one more token for each of 32 sequences

Shapes that ship stand in llms.toml with their sources. Weights are counted as the matrices, without norms and
biases (below 0.3 %). An expert's load is taken as even. This file knows no device, no engine and no
time; what vision towers or speculative heads add is left out.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netwright.core.error import UserError, did_you_mean
from netwright.core.workload import BYTES, Operator, Workload
from netwright.predict.llm import hub_config
from netwright.predict.llm.passes import STORED, passes

SHAPES = Path(__file__).with_name("llms.toml")


@dataclass(frozen=True, kw_only=True)
class LLM:
    """The shape of a decoder-only language model. Widths are numbers, not bytes; 0 means it has none.

    Raises ValueError for a shape that cannot be.
    """

    name: str
    layers: int
    """Token mixers: attention of any kind. As many feed-forward layers, unless `feeds` says otherwise."""
    hidden: int
    heads: int
    inter: int
    """Width of a dense feed-forward layer."""
    vocab: int
    kv_heads: int = 0
    """0: as many as heads."""
    head_dim: int = 0
    """0: hidden / heads. With latent attention, of the part without position."""
    gated: bool = True
    """Feed-forward layers have three matrices (SwiGLU) instead of two."""
    tied: bool = False
    """One matrix for input embeddings and output."""
    positions: int = 0
    """Learned positions."""
    feeds: int | None = None
    dense_layers: int = 0
    """Feed-forward layers without experts, in a mixture of experts."""
    experts: int = 0
    top_k: int = 0
    expert_inter: int = 0
    shared_inter: int = 0
    """Width of all shared experts together."""
    kv_rank: int = 0
    """Latent attention (DeepSeek-V2, arXiv 2405.04434): width of what is cached, beside `rope_dim`."""
    q_rank: int = 0
    rope_dim: int = 0
    value_dim: int = 0
    sparse: int = 0
    """Tokens a query attends to at most, chosen by an indexer (DeepSeek-V3.2); the indexer is left out."""
    window: int = 0
    window_layers: int = 0
    linear_layers: int = 0
    """Layers with a recurrent state instead of a cache (Gated DeltaNet, Mamba-2)."""
    linear_key: int = 0
    linear_value: int = 0
    linear_state: int = 0
    """Numbers a sequence keeps in each such layer."""
    output_gate: bool = False
    """Attention has a gate as wide as its queries."""
    weights: str = "bf16"
    attention_weights: str = ""
    """"": as `weights`. Many quantized models keep attention in 16 bits."""
    kv: str = "bf16"
    source: str = "given"
    confirmed: bool = True
    """Its shape was read in the named source; otherwise it is from memory, checked by its number of parameters."""
    stated: float = 0.0
    """Parameters as its publisher states them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kv_heads", self.kv_heads or self.heads)
        object.__setattr__(self, "head_dim", self.head_dim or self.hidden // max(self.heads, 1))
        object.__setattr__(self, "attention_weights", self.attention_weights or self.weights)
        sizes = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.type == "int"}
        least = {"layers", "hidden", "heads", "vocab", "head_dim"}
        for name, size in sizes.items():
            if not (int(name in least) <= size <= 10**9):
                raise ValueError(f"{name} = {size}")
        if self.top_k > self.experts or self.window_layers + self.linear_layers > self.layers:
            raise ValueError("more experts at a time, or more layers of a kind, than there are")
        if bool(self.experts) != bool(self.top_k and self.expert_inter) or not (self.inter or self.experts):
            raise ValueError("experts, top_k and expert_inter go together; without them inter is needed")
        if self.heads % self.kv_heads or self.dense_layers > self.feed_layers:
            raise ValueError("heads is no multiple of kv_heads, or more dense layers than layers")
        for dtype in (self.weights, self.attention_weights, self.kv):
            if dtype not in BYTES:
                raise ValueError(f"no dtype {dtype!r}; known: {', '.join(BYTES)}")

    @property
    def feed_layers(self) -> int:
        return self.layers if self.feeds is None else self.feeds

    @property
    def expert_layers(self) -> int:
        return self.feed_layers - self.dense_layers if self.experts else 0

    @property
    def attention_layers(self) -> int:
        return self.layers - self.linear_layers

    @property
    def parameters(self) -> int:
        """Numbers in the matrices: embeddings, attention, feed-forward layers with all experts, output."""
        return self._count(self.experts)

    @property
    def active(self) -> int:
        """Those that one token meets."""
        return self._count(self.top_k)

    @property
    def weight_bytes(self) -> float:
        """Bytes of the stored weights; embeddings and output stay in 16 bits."""
        ends = self.vocab * self.hidden * (1 if self.tied else 2) + self.positions * self.hidden
        mixing = self._mixing()
        feeding = self.parameters - ends - mixing
        return 2 * ends + mixing * STORED[self.attention_weights] + feeding * STORED[self.weights]

    @property
    def kv_bytes(self) -> float:
        """Bytes of cache a token of context takes, in layers that keep all of them."""
        return (self.attention_layers - self.window_layers) * self.cached() * BYTES[self.kv]

    def cache_bytes(self, context: int) -> float:
        """Bytes a sequence of so many tokens keeps: cache, what lies in a window, and recurrent states."""
        near = self.window_layers * self.cached() * BYTES[self.kv] * min(context, self.window or context)
        return self.kv_bytes * context + near + 2.0 * self.linear_layers * self.linear_state

    def prefill(self, batch: int, tokens: int, tensor_parallel: int = 1) -> Workload:
        """The operators of reading `batch` prompts of `tokens` each, on one of `tensor_parallel` devices."""
        return self._workload(f"{self.name} prefill {tokens}", batch, tokens, 0, tensor_parallel)

    def decode(self, batch: int, context: int, tensor_parallel: int = 1) -> Workload:
        """The operators of one token for each of `batch` sequences that have `context` tokens behind them."""
        return self._workload(f"{self.name} decode {context}", batch, 1, context, tensor_parallel)

    def _workload(self, name: str, batch: int, tokens: int, context: int, tensor_parallel: int) -> Workload:
        operators = tuple(
            Operator(
                name=part.name, flops=float(part.flops), weight_bytes=float(part.weights),
                input_bytes=float(part.read), output_bytes=float(part.written), dtype=part.dtype,
            )
            for part in passes(self, batch, tokens, context, tensor=tensor_parallel)
            for _ in range(part.times)
        )  # fmt: skip
        return Workload(name=name, batch=batch, parameters=self.parameters, operators=operators)

    def _count(self, experts: int) -> int:
        matrices = 3 if self.gated else 2
        dense = self.feed_layers - self.expert_layers
        feeding = matrices * self.hidden * dense * self.inter
        each = matrices * self.hidden * (experts * self.expert_inter + self.shared_inter) + self.hidden * self.experts
        ends = self.vocab * self.hidden * (1 if self.tied else 2) + self.positions * self.hidden
        return ends + self._mixing() + feeding + self.expert_layers * each

    def _mixing(self) -> int:
        linear = self.hidden * (2 * self.linear_key + 3 * self.linear_value)
        return self.attention_layers * sum(self.projections()) + self.linear_layers * linear

    def cached(self) -> int:
        """Numbers a token leaves behind in one attention layer."""
        return self.kv_rank + self.rope_dim if self.kv_rank else 2 * self.kv_heads * self.head_dim

    def projections(self) -> tuple[int, int]:
        """Numbers in the matrices of one attention layer before and after attention itself."""
        if self.kv_rank:
            query = self.heads * (self.head_dim + self.rope_dim)
            queries = self.hidden * self.q_rank + self.q_rank * query if self.q_rank else self.hidden * query
            keys = self.hidden * (self.kv_rank + self.rope_dim)
            spread = self.kv_rank * self.heads * (self.head_dim + self.value_dim)
            return queries + keys + spread, self.heads * self.value_dim * self.hidden
        query = self.heads * self.head_dim
        return self.hidden * (query * (1 + self.output_gate) + 2 * self.kv_heads * self.head_dim), query * self.hidden


@functools.cache
def known() -> Mapping[str, LLM]:
    """The shapes that ship, by name."""
    table: dict[str, Any] = tomllib.loads(SHAPES.read_text(encoding="utf-8"))
    found: dict[str, LLM] = {}
    for name, fields in table["llm"].items():
        base = dict(vars(found[fields.pop("like")])) if "like" in fields else {}
        found[name] = LLM(**{**base, **fields, "name": name})
    return found


_DRESSING = re.compile(
    r"[-_.]?\b(instruct|chat|base|hf|it|thinking|fp8|fp16|bf16|nvfp4|mxfp4|fp4|int4|awq|gptq|w4a16|dynamic|meta"
    r"|0528|0324|2507|2512|0905|v0\.\d|diffusers)\b",
    re.IGNORECASE,
)
_STORED_AS = {"nvfp4": "fp4", "mxfp4": "fp4", "fp4": "fp4", "fp8": "fp8", "int4": "int4", "awq": "int4", "gptq": "int4",
              "w4a16": "int4", "bf16": "bf16", "fp16": "fp16"}  # fmt: skip


def find(text: str) -> LLM:
    """The LLM of a name ("Qwen3-8B", "nvidia/Qwen3-32B-NVFP4"), of a config.json, or of "layers=32,hidden=4096,...".

    What a name says of its training ("-Instruct") is dropped, what it says of its weights ("-FP8") is kept.
    Raises UserError with the nearest name.
    """
    path = Path(text)
    if text.endswith(".json"):
        return _built(hub_config.fields(path), text)
    if text and "=" not in text and (path / "config.json").is_file():
        return _built(hub_config.fields(path / "config.json"), text)
    return named(text)


def named(text: str) -> LLM:
    """As `find`, without looking at any file: for what a stranger asks."""
    if "=" in text:
        return _described(text)
    llms = known()
    by_key = {_key(name): name for name in llms}
    tail = text.rstrip("/").rsplit("/", 1)[-1]
    bare = _DRESSING.sub("", tail)
    name = by_key.get(_key(tail)) or by_key.get(_key(bare))
    if name is None:
        raise UserError("model", text, did_you_mean(bare, llms), "name a config.json, or layers=32,hidden=4096,...")
    stored = [_STORED_AS[m.lower()] for m in _DRESSING.findall(tail) if m.lower() in _STORED_AS]
    return quantized(llms[name], stored[0]) if stored else llms[name]


def quantized(llm: LLM, dtype: str) -> LLM:
    """The same model with weights in another dtype, as such models are published: in four bits, a mixture of
    experts keeps attention in 16 bits (the NVFP4 models of DeepSeek-R1, the INT4 of Kimi-K2.5)."""
    keeps = llm.experts > 0 and dtype in ("fp4", "int4")
    return replace(llm, weights=dtype, attention_weights="bf16" if keeps else dtype)


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _described(text: str) -> LLM:
    fields: dict[str, Any] = {"name": "described"}
    types = {f.name: f.type for f in dataclasses.fields(LLM)}
    for pair in text.split(","):
        key, _, value = (part.strip() for part in pair.partition("="))
        if key not in types:
            raise UserError(
                "model", pair, did_you_mean(key, types), "layers=32,hidden=4096,heads=32,inter=11008,vocab=32000"
            )
        kind = types[key]
        try:
            fields[key] = (
                value if kind == "str" else value.lower() in ("1", "true", "yes") if kind == "bool" else int(value)
            )
        except ValueError:
            raise UserError(f"model {key}", value, "a whole number", "layers=32,hidden=4096,...") from None
    return _built(fields, text)


def _built(fields: Mapping[str, Any], text: str) -> LLM:
    try:
        return LLM(**fields)
    except (TypeError, ValueError) as fault:
        needed = "layers, hidden, heads, inter and vocab at least"
        raise UserError("model", text, f"no language model: {fault}; {needed}", "name one of those known") from None
