"""GGUF files, as llama.cpp reads them: Llamas, Qwens and GPT-2s, dequantized.

The file's header says how much each part takes; the `gguf` package maps the file, so that a header that lies reads no
further than the file. Llama's queries and keys stand in another order there, for rotary angles of neighbouring pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netwright.core.error import UserError
from netwright.core.table import extra
from netwright.data.tokenizer import Tokenizer
from netwright.models import gpt2, llama
from netwright.models.imports import Foreign, vocabulary

LLAMA = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
GPT2 = {
    "token_embd": "transformer.wte", "position_embd": "transformer.wpe", "output_norm": "transformer.ln_f",
    "attn_norm": "ln_1", "ffn_norm": "ln_2", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj",
    "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj",
}  # fmt: skip
NAMES = {"llama": LLAMA, "qwen2": LLAMA, "qwen3": LLAMA, "gpt2": GPT2}
"""Architecture -> its names of tensors, and the network's."""
_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
ROPE = "rope_freqs.weight"
"""What llama.cpp divides the frequency of each pair by."""
NEAR = 2e-3
"""How far a frequency may be from the file's, relative to it: the file keeps fp32, and narrow steps magnify that."""
FIRST = 8192.0
"""Tokens that Llama 3 was first trained with."""
Floats = NDArray[np.float64]
TURNED = {"llama"}
"""Architectures whose queries and keys stand in the order of neighbouring pairs."""


def read(path: Path, about: Mapping[str, Any]) -> Foreign:
    """The model in a file. Raises UserError for what is no GGUF, or of another architecture."""
    gguf = extra("gguf", "GGUF files")
    try:
        reader = gguf.GGUFReader(path)
        said = {name: field.contents() for name, field in reader.fields.items()}
    except Exception as fault:  # a damaged header can make it raise anything
        raise UserError("file", str(path), f"no GGUF: {type(fault).__name__}: {fault}", "fetch it again") from None
    kind = said.get("general.architecture")
    if kind not in NAMES:
        raise UserError("model", str(path), f"architecture {kind}; known are {', '.join(NAMES)}", "another model")
    try:
        names = {one.name for one in reader.tensors}
        config = _gpt2(said) if kind == "gpt2" else _llama(said, str(kind), tied="output.weight" not in names)
        for one in reader.tensors:
            if one.name == ROPE and isinstance(config, llama.Config):
                factors = np.array(gguf.quants.dequantize(one.data, one.tensor_type), np.float64).reshape(-1)
                config = replace(config, scaling=scaling(config, factors))
        made = tokenizer(said)
    except KeyError as missing:
        raise UserError("file", str(path), f"its header does not say {missing}", "fetch it again") from None
    stored = {one.tensor_type.name for one in reader.tensors if len(one.shape) > 1}
    return Foreign(
        config=config,
        tensors=lambda: tensors(reader, str(kind), config),
        tokenizer=made,
        about={**about, "format": "gguf", "stored": sorted(stored), "licence": _licence(said, about)},
    )


def tensors(reader: Any, kind: str, config: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in fp32, by the network's own names."""
    gguf = extra("gguf", "GGUF files")
    for one in reader.tensors:
        name = named(one.name, kind)
        if name is None or (config.name == "gpt2" and one.name == "output.weight"):
            continue
        try:
            data = gguf.quants.dequantize(one.data, one.tensor_type)
        except (NotImplementedError, ValueError) as fault:
            what = f"{one.name} is stored as {one.tensor_type.name}, which is not known here ({fault})"
            raise UserError("model", one.tensor_type.name, what, "a file of Q8_0, Q4_K, F16 or another type") from None
        tensor = torch.from_numpy(np.array(data, np.float32).reshape(tuple(int(size) for size in one.shape[::-1])))
        heads = {"self_attn.q_proj.weight": config.heads, "self_attn.k_proj.weight": _kv(config)} if kind in TURNED \
            else {}  # fmt: skip
        for ending, count in heads.items():
            if name.endswith(ending):
                tensor = in_halves(tensor, count)
        yield name, tensor


def named(name: str, kind: str) -> str | None:
    """A tensor's name in the network; None for one that is computed."""
    if name == ROPE:
        return None
    stem, _, ending = name.rpartition(".")
    found = _BLOCK.fullmatch(stem)
    own = NAMES[kind].get(found[2] if found else stem)
    if own is None:
        return name
    layers = "transformer.h" if kind == "gpt2" else "model.layers"
    return f"{layers}.{found[1]}.{own}.{ending}" if found else f"{own}.{ending}"


def scaling(config: llama.Config, factors_P: Floats) -> tuple[float, ...]:
    """The four numbers of `llama.Config.scaling` out of what each pair's frequency is divided by (`llama.frequencies`).

    The share that keeps its frequency grows with it in a straight line from 0 to 1; three of the numbers say where,
    and are alike up to a multiple, so that Llama 3's first length stands for it. Raises UserError for other factors.
    """
    if (factors_P == 1).all():
        return ()
    unknown = UserError("model", ROPE, "frequencies are not divided as Llama 3 divides them", "a safetensors folder")
    plain_P = llama.frequencies(replace(config, scaling=())).double().numpy()
    factor = float(factors_P.max())
    if factors_P.shape != plain_P.shape or not (np.isfinite(factors_P) & (factors_P >= 1)).all():
        raise unknown
    share_P = (1 / factors_P - 1 / factor) / (1 - 1 / factor)
    between = (share_P > 1e-4) & (share_P < 1 - 1e-4)
    for low, high in ((1.0, 4.0), _line(FIRST * plain_P / (2 * np.pi), share_P, between)):
        found = (factor, low, high, FIRST)
        wanted_P = plain_P / factors_P
        if high > low and np.allclose(llama.frequencies(replace(config, scaling=found)), wanted_P, rtol=NEAR, atol=0):
            return found
    raise unknown


def _line(turns_P: Floats, share_P: Floats, between: NDArray[np.bool_]) -> tuple[float, float]:
    """At how many turns the share leaves 0, and at how many it reaches 1."""
    if between.sum() > 1:
        slope, start = np.polyfit(turns_P[between], share_P[between], 1)
        low, high = -start / slope, (1 - start) / slope
    else:
        least, most = turns_P[share_P <= 1e-4].max(initial=0), turns_P[share_P >= 1 - 1e-4].min(initial=1e9)
        low, high = (3 * least + most) / 4, (least + 3 * most) / 4
        for turns, share in zip(turns_P[between], share_P[between], strict=True):
            slope = 1.01 * max(share / (turns - least), (1 - share) / (most - turns))
            low, high = turns - share / slope, turns + (1 - share) / slope
    return float(f"{low:.9g}"), float(f"{high:.9g}")


def in_halves(weight_OI: Tensor, heads: int) -> Tensor:
    """Rows of each head from neighbouring pairs to first and second half, as the network turns them."""
    turned_OI: Tensor = weight_OI.reshape(heads, -1, 2, *weight_OI.shape[1:]).transpose(1, 2)
    return turned_OI.reshape(weight_OI.shape).contiguous()


def in_pairs(weight_OI: Tensor, heads: int) -> Tensor:
    """The way back: rows of each head from halves to neighbouring pairs."""
    turned_OI: Tensor = weight_OI.reshape(heads, 2, -1, *weight_OI.shape[1:]).transpose(1, 2)
    return turned_OI.reshape(weight_OI.shape).contiguous()


def _kv(config: Any) -> int:
    return int(config.kv_heads or config.heads)


def tokenizer(said: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that a file's header describes. Raises UserError for kinds that are not known."""
    tokens, kinds = said["tokenizer.ggml.tokens"], said.get("tokenizer.ggml.token_type", [])
    special = {t: k for t, k in zip(tokens, kinds, strict=False) if k in (vocabulary.CONTROL, vocabulary.USER)}
    roles = {
        role: tokens[at]
        for role, key in (
            ("bos_token", "bos"),
            ("eos_token", "eos"),
            ("pad_token", "padding"),
            ("unk_token", "unknown"),
        )
        if 0 <= (at := said.get(f"tokenizer.ggml.{key}_token_id", -1)) < len(tokens)
    }
    kind = said["tokenizer.ggml.model"]
    if kind == "gpt2":
        known = [*kinds, *[0] * (len(tokens) - len(kinds))]
        ids = {token: at for at, token in enumerate(tokens) if known[at] != vocabulary.UNUSED}
        pairs = (pair.split(" ") for pair in said["tokenizer.ggml.merges"])
        merges = [pair for pair in pairs if "".join(pair) in ids]  # one that makes no token merges nothing
        json = vocabulary.byte_level(ids, merges, special, said.get("tokenizer.ggml.pre", "default"))
    elif kind == "llama":
        prefix = bool(said.get("tokenizer.ggml.add_space_prefix", True))
        unknown = roles.get("unk_token", "<unk>")
        json = vocabulary.sentencepiece(tokens, said["tokenizer.ggml.scores"], special, unknown, prefix)
    else:
        raise UserError("tokenizer", kind, "known are gpt2 and llama", "import a safetensors folder")
    ends = {said.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot", "eom")}
    begins = bool(said.get("tokenizer.ggml.add_bos_token", kind == "llama"))
    stop = tuple(sorted(end for end in ends if type(end) is int and 0 <= end < len(tokens)))
    return Tokenizer(json, roles, stop, said.get("tokenizer.chat_template", ""), begins)


def _llama(said: Mapping[str, Any], kind: str, tied: bool) -> llama.Config:
    key = f"{kind}.rope.scaling.type"
    if said.get(key, "none") != "none":
        raise UserError(
            "model",
            kind,
            f'rotary angles scaled as "{said[key]}" are not read from GGUF',
            "import a safetensors folder",
        )
    heads, width = said[f"{kind}.attention.head_count"], said[f"{kind}.embedding_length"]
    E = said.get(f"{kind}.attention.key_length", width // heads)
    return llama.Config(
        width=width,
        depth=said[f"{kind}.block_count"],
        heads=heads,
        kv_heads=said.get(f"{kind}.attention.head_count_kv", 0),
        head_width=0 if E * heads == width else E,
        hidden=said[f"{kind}.feed_forward_length"],
        positions=said[f"{kind}.context_length"],
        vocabulary=len(said["tokenizer.ggml.tokens"]),
        theta=float(said.get(f"{kind}.rope.freq_base", 10_000.0)),
        eps=round(float(said[f"{kind}.attention.layer_norm_rms_epsilon"]), 9),
        bias=kind == "qwen2",
        head_norm=kind == "qwen3",
        tied=tied,
    )


def _gpt2(said: Mapping[str, Any]) -> gpt2.Config:
    width, hidden = said["gpt2.embedding_length"], said["gpt2.feed_forward_length"]
    return gpt2.Config(
        width=width,
        depth=said["gpt2.block_count"],
        heads=said["gpt2.attention.head_count"],
        hidden=0 if hidden == 4 * width else hidden,
        positions=said["gpt2.context_length"],
        vocabulary=len(said["tokenizer.ggml.tokens"]),
        eps=round(float(said["gpt2.attention.layer_norm_epsilon"]), 9),
    )


def _licence(said: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    return str(about.get("licence") or said.get("general.license") or "none stated")
