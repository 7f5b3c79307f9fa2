"""Files of llama2.c (Karpathy): stories15M and its sisters, model.bin and tokenizer.bin.

A header of seven int32, then fp32 matrices of all layers together, in the order of the format's version 0; a
tokenizer of pieces with scores, in which a space is a space. Its angles turn neighbouring pairs, as GGUF's do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netwright.core.error import UserError
from netwright.data.tokenizer import Tokenizer
from netwright.models import llama
from netwright.models.imports import Foreign, vocabulary
from netwright.models.imports.gguf import in_halves

FILES = ("model.bin", "tokenizer.bin")
SPECIAL = {"<unk>": vocabulary.CONTROL, "<s>": vocabulary.CONTROL, "</s>": vocabulary.CONTROL}


def read(folder: Path, about: Mapping[str, Any]) -> Foreign:
    """The model in a folder. Raises UserError for files that are cut or no such files."""
    path = folder / FILES[0]
    if path.stat().st_size < 28:
        raise _broken(path, "it is shorter than its header")
    with path.open("rb") as file:
        width, hidden, depth, heads, kv_heads, words, longest = struct.unpack("<7i", file.read(28))
    try:
        config = llama.Config(
            width=width, hidden=hidden, depth=depth, heads=heads, kv_heads=0 if kv_heads == heads else kv_heads,
            positions=longest, tied=words > 0, vocabulary=abs(words),
        )  # fmt: skip
    except (ValueError, ZeroDivisionError) as fault:
        raise _broken(path, f"its header is none: {fault}") from None
    return Foreign(
        config=config,
        tensors=lambda: tensors(path, config, abs(words)),
        tokenizer=tokenizer(folder / FILES[1], abs(words)),
        about={**about, "format": "llama2.c", "stored": ["F32"]},
    )


def tensors(path: Path, config: llama.Config, words: int) -> Iterator[tuple[str, Tensor]]:
    """Every tensor, by the network's own names."""
    D, F, L = config.width, config.hidden, config.depth
    heads, kv_heads = config.heads, config.kv_heads or config.heads
    E = D // heads
    stacks = (
        ("input_layernorm", (L, D), 0), ("self_attn.q_proj", (L, heads * E, D), heads),
        ("self_attn.k_proj", (L, kv_heads * E, D), kv_heads), ("self_attn.v_proj", (L, kv_heads * E, D), 0),
        ("self_attn.o_proj", (L, D, heads * E), 0), ("post_attention_layernorm", (L, D), 0),
        ("mlp.gate_proj", (L, F, D), 0), ("mlp.down_proj", (L, D, F), 0), ("mlp.up_proj", (L, F, D), 0),
    )  # fmt: skip
    flat = np.memmap(path, np.float32, "r", offset=28)
    angles = config.positions * E  # of rotary embedding: stored, and computed here
    needed = words * D + sum(int(np.prod(shape)) for _, shape, _ in stacks) + D + angles
    needed += 0 if config.tied else words * D
    if len(flat) < needed:
        raise _broken(path, f"it has {len(flat):,} numbers, its header says {needed:,}")
    yield "model.embed_tokens.weight", torch.from_numpy(np.array(flat[: words * D]).reshape(words, D))
    at = words * D
    for name, shape, turned in stacks:
        size = int(np.prod(shape[1:]))
        for layer in range(L):
            tensor = torch.from_numpy(np.array(flat[at : at + size]).reshape(shape[1:]))
            yield f"model.layers.{layer}.{name}.weight", in_halves(tensor, turned) if turned else tensor
            at += size
    yield "model.norm.weight", torch.from_numpy(np.array(flat[at : at + D]))
    at += D + angles
    if not config.tied:
        yield "lm_head.weight", torch.from_numpy(np.array(flat[at : at + words * D]).reshape(words, D))


def tokenizer(path: Path, words: int) -> Tokenizer:
    """Pieces and scores. Raises UserError for a file that is cut."""
    data, at = path.read_bytes(), 4
    pieces, scores = [], []
    for number in range(words):
        if at + 8 > len(data):
            raise _broken(path, f"it ends in piece {number} of {words}")
        score, size = struct.unpack_from("<fi", data, at)
        if not 0 <= size <= 1000 or at + 8 + size > len(data):
            raise _broken(path, f"piece {number} has {size} bytes")
        pieces.append(data[at + 8 : at + 8 + size].decode("utf-8", "replace").replace(" ", "\u2581"))
        scores.append(score)
        at += 8 + size
    pieces[:3] = list(SPECIAL)
    for byte in range(256):  # written as what they stand for
        pieces[3 + byte] = f"<0x{byte:02X}>"
    json = vocabulary.sentencepiece(pieces, scores, SPECIAL, "<unk>")
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return Tokenizer(json, special, (1, 2), "", begins=True)


def _broken(path: Path, why: str) -> UserError:
    return UserError("file", str(path), f"no model of llama2.c: {why}", "fetch it again")
