"""Format "gguf": one file with weights, tokenizer and chat template, as llama.cpp opens it.

    written(artifact, Path("model.gguf"), "Q8_0")

Llamas, Qwens and GPT-2s are written, in F32, F16, Q8_0, Q4_0 or Q4_1; matrices of the 4-bit kinds have an embedding in
Q8_0, and rows that are no multiple of a block's 32 are F16. Opened as a `Runner` the file is dequantized and run by
torch, which certifies what stands in it; `chat.llamacpp` runs it. This file does not know llama.cpp.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netwright.core.artifact import Artifact
from netwright.core.error import UserError
from netwright.core.table import extra
from netwright.data.tokenizer import Tokenizer

if TYPE_CHECKING:
    from netwright.data.tasks import Task
    from netwright.export.eager import TorchRunner

FILE = "model.gguf"
SETTINGS: Mapping[str, Any] = {"format": "gguf"}
PRECISIONS = {"F32": "fp32", "F16": "fp16", "Q8_0": "int8-weights", "Q4_0": "int4-weights", "Q4_1": "int4-weights"}
"""What matrices are stored in -> the precision of the artifact; the first is the default."""
BLOCK = 32
"""Weights that share a step in Q8_0, Q4_0 and Q4_1."""
NO_MERGE = "\u0120 \u0120"
"""Of a vocabulary of bytes alone: llama.cpp wants at least one merge. Two spaces are no token, so it merges nothing."""
_FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7}
NORMAL, UNKNOWN, BYTE = 1, 2, 6
"""Types of tokens, beside those of `models.imports.vocabulary`."""
_ROLES = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}


def write(artifact: Artifact, task: Task, draft: Path, stored: str = "F32") -> None:
    """Write a torch artifact as GGUF."""
    written(artifact, draft / FILE, stored)


def open(artifact: Artifact, threads: int, precision: str | None) -> TorchRunner:
    """The file's weights, dequantized, in eager PyTorch."""
    from netwright.export.eager import TorchRunner
    from netwright.models.imports import gguf

    if precision not in (None, "fp32", artifact.precision):
        raise UserError("precision", precision, "weights of a GGUF are computed with in fp32 here", "precision=fp32")
    foreign = gguf.read(artifact.path(FILE), {"source": artifact.name})
    return TorchRunner(foreign.network(), artifact, threads, "fp32")


def written(artifact: Artifact, path: Path, stored: str = "F32") -> Path:
    """Write a torch artifact of a language model as GGUF, its matrices in `stored`; answers `path`.

    Raises UserError for other networks, other kinds of storage, and tokenizers whose kind llama.cpp does not know.
    """
    if stored not in PRECISIONS:
        raise UserError(
            "export.precision", stored, f"GGUF is written in {', '.join(PRECISIONS)}", "export.precision=Q8_0"
        )
    check_source(artifact)
    gguf = extra("gguf", "the format gguf")
    from netwright.models.imports.gguf import ROPE
    from netwright.models.load import open_model

    kind = architecture(artifact)
    model = open_model(artifact)
    tokenizer = Tokenizer.read(artifact.folder, artifact.processor)
    about = vocabulary(tokenizer, int(model.head.shape[0]))  # type: ignore[index]
    writer = gguf.GGUFWriter(None, kind)
    _described(writer, artifact, model.config, kind, stored, len(about["ggml.tokens"]))
    for name, value in about.items():
        _added(writer, gguf, f"tokenizer.{name}", value)
    for name, x in tensors(model.state_dict(), kind, model.config):
        chosen = _stored(gguf, name, x, stored)
        data = np.ascontiguousarray(gguf.quants.quantize(x, chosen))
        writer.add_tensor(name, data, raw_dtype=chosen)
    if artifact.model.get("scaling"):
        writer.add_tensor(ROPE, divisors(model.config))
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def divisors(config: Any) -> NDArray[np.float32]:
    """What the frequency of each pair of a head is divided by."""
    from netwright.models.llama import frequencies

    divided_P: NDArray[np.float32] = (
        frequencies(dataclasses.replace(config, scaling=())) / frequencies(config)
    ).numpy()
    return divided_P


def check_source(artifact: Artifact) -> None:
    """Raises UserError for what is no language model that llama.cpp has."""
    if artifact.processor.get("kind") != "tokens":
        raise _refused(artifact, "it has no tokenizer: only language models are written as GGUF")
    architecture(artifact)


def architecture(artifact: Artifact) -> str:
    """llama.cpp's name of the network. Raises UserError for networks that it does not have."""
    from netwright.models import gpt2, llama

    known: dict[str, type] = {"gpt2": gpt2.Config, "llama": llama.Config}
    name = str(artifact.model.get("name"))
    if name not in known:
        raise _refused(artifact, f"llama.cpp has no network {name}; written are llama and gpt2")
    own = {field.name for field in dataclasses.fields(known[name])}
    if artifact.model.keys() - own:
        raise _refused(artifact, "a network that was resized or put on grids is no ordinary one")
    bias, norm = (bool(artifact.model.get(key)) for key in ("bias", "head_norm"))
    if bias and norm:
        raise _refused(artifact, "llama.cpp has no network with both biases and norms of heads")
    kind = "gpt2" if name == "gpt2" else "qwen2" if bias else "qwen3" if norm else "llama"
    if artifact.model.get("scaling") and kind != "llama":
        raise _refused(artifact, f"llama.cpp scales rotary angles of Llamas, and of no {kind}")
    return kind


def tensors(state: Mapping[str, Any], kind: str, config: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """A network's tensors by GGUF's names, queries and keys of a llama in neighbouring pairs."""
    from netwright.models.imports import gguf

    names = {own: name for name, own in gguf.NAMES[kind].items()}
    layers = "transformer.h." if kind == "gpt2" else "model.layers."
    heads = {"attn_q.weight": config.heads, "attn_k.weight": getattr(config, "kv_heads", 0) or config.heads}
    for name, x in state.items():
        stem, _, ending = name.rpartition(".")
        number, _, inner = stem.removeprefix(layers).partition(".") if stem.startswith(layers) else ("", "", stem)
        found = f"blk.{number}.{names[inner]}.{ending}" if number else f"{names[inner]}.{ending}"
        count = heads.get(found.rpartition("blk.")[2].partition(".")[2]) if kind in gguf.TURNED else None
        yield found, (gguf.in_pairs(x, count) if count else x).float().contiguous().numpy()


def vocabulary(tokenizer: Tokenizer, size: int) -> dict[str, Any]:
    """The tokenizer as GGUF's fields, `size` tokens in all. Raises UserError for one that llama.cpp cannot have."""
    try:
        found = json.loads(tokenizer.json)
        model = found["model"]
        ids: dict[str, int] = {**model["vocab"], **{one["content"]: one["id"] for one in found["added_tokens"]}}
        merges = [pair.split(" ") if isinstance(pair, str) else list(pair) for pair in model["merges"]]
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise _untold(f"no byte-pair vocabulary ({type(fault).__name__}: {fault})") from None
    if max(ids.values(), default=-1) >= size:
        raise _untold(f"it has {1 + max(ids.values()):,} ids, the network {size:,}")
    from netwright.models.imports.vocabulary import CONTROL, UNUSED, USER

    tokens, kinds = [f"[PAD{at}]" for at in range(size)], [UNUSED] * size
    for token, at in ids.items():
        tokens[at], kinds[at] = token, NORMAL
    pieces = bool(model.get("byte_fallback"))
    for at, token in enumerate(tokens) if pieces else ():
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            kinds[at] = BYTE
    for one in found["added_tokens"]:
        kinds[one["id"]] = CONTROL if one.get("special") else USER
    roles = {key: tokenizer.id(tokenizer.special.get(role, "")) for role, key in _ROLES.items()}
    if pieces and roles["unknown"] is not None and kinds[roles["unknown"]] == NORMAL:
        kinds[roles["unknown"]] = UNKNOWN
    about: dict[str, Any] = {"ggml.model": "llama" if pieces else "gpt2", "ggml.tokens": tokens}
    about["ggml.token_type"] = kinds
    if pieces:
        about["ggml.scores"] = _scores(tokens, merges)
    else:
        about["ggml.pre"] = split(found.get("pre_tokenizer"))
        about["ggml.merges"] = [_joined(pair) for pair in merges] or [NO_MERGE]
    others = [at for at in tokenizer.stop if at != roles["eos"]]
    about |= {f"ggml.{key}_token_id": at for key, at in [*roles.items(), *zip(("eot", "eom"), others, strict=False)]}
    about["ggml.add_bos_token"] = tokenizer.begins
    about["ggml.add_space_prefix"] = pieces and _begins_with_space(found)
    about["chat_template"] = tokenizer.template
    return {key: value for key, value in about.items() if value is not None and value != ""}


def split(stated: Any) -> str:
    """GGUF's name of the pattern by which a vocabulary of bytes splits a text. Raises UserError for an unknown one."""
    from netwright.models.imports.vocabulary import SPLITS

    parts = (stated or {}).get("pretokenizers") or [stated]

    def told(part: Any) -> dict[str, Any]:
        plain = {"use_regex": True, **part} if part.get("type") == "ByteLevel" else dict(part)
        return {key: value for key, value in plain.items() if key != "trim_offsets"}

    for name, wanted in SPLITS.items():
        if all(isinstance(part, Mapping) for part in parts) and [told(x) for x in parts] == [told(x) for x in wanted]:
            return name
    raise _untold(f"it splits texts in a way that has no name in GGUF; those with one are {', '.join(SPLITS)}")


def _scores(tokens: list[str], merges: list[list[str]]) -> list[float]:
    """Of each piece, so that those are merged first whose merge stands first."""
    order = {piece: -float(at) for at, piece in enumerate(dict.fromkeys("".join(pair) for pair in merges))}
    return [order.get(token, -float(len(order))) for token in tokens]


def _joined(pair: list[str]) -> str:
    if len(pair) != 2 or any(" " in part or not part for part in pair):
        raise _untold(f"a merge is no pair: {pair!r}")
    return " ".join(pair)


def _begins_with_space(found: Mapping[str, Any]) -> bool:
    told = json.dumps([found.get("normalizer"), found.get("pre_tokenizer")])
    return '"Prepend"' in told or '"prepend_scheme": "always"' in told or '"prepend_scheme": "first"' in told


def _described(writer: Any, artifact: Artifact, config: Any, kind: str, stored: str, size: int) -> None:
    source, licence = (artifact.made_by.get(key) for key in ("source", "licence"))
    writer.add_name(_text(source or artifact.name))
    if licence:
        writer.add_license(_text(licence))
    writer.add_file_type(_FILE_TYPES[stored])
    writer.add_quantization_version(2)
    writer.add_block_count(config.depth)
    writer.add_context_length(config.positions)
    writer.add_embedding_length(config.width)
    writer.add_head_count(config.heads)
    if kind == "gpt2":
        writer.add_feed_forward_length(config.hidden or 4 * config.width)
        writer.add_layer_norm_eps(config.eps)
        return
    E = config.head_width or config.width // config.heads
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count_kv(config.kv_heads or config.heads)
    writer.add_layer_norm_rms_eps(config.eps)
    writer.add_vocab_size(size)
    writer.add_rope_freq_base(config.theta)
    writer.add_rope_dimension_count(E)
    if config.head_width:
        writer.add_key_length(E)
        writer.add_value_length(E)


def _added(writer: Any, gguf: Any, name: str, value: Any) -> None:
    kinds = {bool: writer.add_bool, int: writer.add_uint32, str: writer.add_string, list: writer.add_array}
    if name.endswith("token_type"):
        writer.add_key_value(name, value, gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.INT32)
    else:
        kinds[type(value)](name, value)


def _stored(gguf: Any, name: str, x: NDArray[np.float32], wanted: str) -> Any:
    """What a tensor is stored in: vectors and positions stay whole."""
    kinds = gguf.GGMLQuantizationType
    if x.ndim < 2 or name.startswith("position_embd") or wanted == "F32":
        return kinds.F32
    if wanted != "F16" and x.shape[-1] % BLOCK:
        return kinds.F16
    if wanted.startswith("Q4") and name.startswith(("token_embd", "output.")):
        return kinds.Q8_0
    return kinds[wanted]


def _text(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode()


def _refused(artifact: Artifact, why: str) -> UserError:
    return UserError("artifact", artifact.name, why, "netwright export ARTIFACT --format onnx")


def _untold(why: str) -> UserError:
    return UserError("tokenizer", "tokenizer.json", f"it cannot stand in GGUF: {why}", "--format openvino")
