"""Folders as Hugging Face's transformers writes them: config.json, safetensors, tokenizer.json.

Only plain data are read: a folder that has its weights in pickles, or needs code of its own, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from torch import Tensor

from netwright.core import recipe
from netwright.core.artifact import read_json
from netwright.core.error import UserError, did_you_mean
from netwright.core.table import need
from netwright.data.tokenizer import Tokenizer
from netwright.models import gpt2, llama
from netwright.models.imports import Foreign

LLAMAS = {"llama", "mistral", "qwen2", "qwen3"}
Config = TypeVar("Config")
ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")
WANTED = ("*.json", "*.safetensors", "*.jinja")
TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
"""GPT-2's matrices, which its files hold as (in, out)."""


def fetched(name: str) -> Path:
    """A model of the hub, fetched into its own cache."""
    need("huggingface_hub", f"the hub's {name}")
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(WANTED)))
    except Exception as fault:  # a dozen kinds, of several libraries
        what = f"the hub could not give it: {type(fault).__name__}: {str(fault).splitlines()[0] if str(fault) else ''}"
        raise UserError("model", name, what, "give a folder or a .gguf file") from None


def read(folder: Path, about: Mapping[str, Any]) -> Foreign:
    """The model in a folder. Raises UserError for networks of other kinds, and for what is missing."""
    if not (folder / "config.json").is_file():
        raise UserError("model", str(folder), "no model: it has no config.json", "netwright data list")
    said = _json(folder / "config.json")
    kind = said.get("model_type")
    if kind not in LLAMAS | {"gpt2"}:
        told = f"a network of type {kind}: {did_you_mean(str(kind), LLAMAS | {'gpt2'})}"
        raise UserError("model", str(folder), told, "netwright import --help")
    config = _gpt2(said) if kind == "gpt2" else _llama(said, str(kind))
    tokenizer = tokenizer_of(folder, said)
    return Foreign(
        config=config,
        tensors=lambda: tensors(folder, config),
        tokenizer=tokenizer,
        about={**about, "format": "safetensors"},
    )


def tensors(folder: Path, config: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the weights' files, shard by shard, by the network's own names."""
    for path in shards(folder):
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 - no mapping
                    own = named(name, config)
                    if own is not None:
                        tensor = file.get_tensor(name)
                        turned = config.name == "gpt2" and own.endswith(TRANSPOSED)
                        yield own, tensor.T.contiguous() if turned else tensor
        except (SafetensorError, OSError) as fault:
            raise UserError("file", str(path), f"not safetensors: {fault}", "fetch it again") from None


def shards(folder: Path) -> list[Path]:
    """The weights' files. Raises UserError where there are none, or only pickles."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(_json(index).get("weight_map", {}).values()))
        if any(PurePosixPath(name).name != name or not name.endswith(".safetensors") for name in names):
            raise UserError("file", str(index), "names files outside of its folder", "fetch it again")
        found = [folder / name for name in names]
    else:
        found = [folder / "model.safetensors"]
    missing = [path.name for path in found if not path.is_file()]
    if missing or not found:
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        what = f"its weights are a pickle ({pickled[0]}), which is never opened" if pickled and not found[0].is_file() \
            else f"{', '.join(missing[:3])} is missing"  # fmt: skip
        raise UserError("model", str(folder), what, "fetch its safetensors")
    return found


def named(name: str, config: Any) -> str | None:
    """A tensor's name in the network, or None for one that the network computes."""
    if name.endswith((".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq")):
        return None
    if config.name == "gpt2":
        if name == "lm_head.weight":
            return None
        return name if name.startswith("transformer.") else f"transformer.{name}"
    if name == "lm_head.weight" and config.tied:
        return None
    return name


def tokenizer_of(folder: Path, said: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a folder: tokenizer.json, or GPT-2's two files; special tokens, template and stop tokens."""
    about = _json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    special = {role: _token(about[role]) for role in ROLES if about.get(role)}
    if (folder / "tokenizer.json").is_file():
        json = (folder / "tokenizer.json").read_text(encoding="utf-8")
    else:
        from netwright.models.imports import vocabulary

        json = vocabulary.of_gpt2(folder)
        special = special or {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    template = about.get("chat_template") or ""
    if (folder / "chat_template.jinja").is_file():
        template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    generation = folder / "generation_config.json"
    ends = (_json(generation) if generation.is_file() else {}).get("eos_token_id", said.get("eos_token_id"))
    stop = tuple(end for end in (ends if isinstance(ends, list) else [ends]) if type(end) is int)
    begins = about.get("add_bos_token")
    made = Tokenizer(json, special, stop, template if isinstance(template, str) else "", bool(begins))
    if begins is None:  # the file's own post-processor says
        begins = made._inner.encode("a", add_special_tokens=True).ids[:1] == made.beginning(True)
    return Tokenizer(made.json, special, stop or _end(made), made.template, bool(begins))


def _end(tokenizer: Tokenizer) -> tuple[int, ...]:
    found = tokenizer.id(tokenizer.special.get("eos_token", ""))
    return () if found is None else (found,)


def _token(stated: Any) -> str:
    return str(stated["content"] if isinstance(stated, Mapping) else stated)


def _json(path: Path) -> dict[str, Any]:
    found = read_json(path, 200_000_000)
    if not isinstance(found, dict):
        raise UserError("file", str(path), "no JSON object", "fetch it again")
    return found


def _llama(said: Mapping[str, Any], kind: str) -> llama.Config:
    rope = said.get("rope_parameters") or said.get("rope_scaling") or {}
    scaled = rope.get("rope_type", rope.get("type", "default"))
    if scaled not in ("default", "llama3"):
        raise UserError("model", kind, f'rotary angles scaled as "{scaled}" are not known here', "another model")
    keys = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    if said.get("hidden_act", "silu") != "silu":
        raise UserError("model", kind, f"activation {said['hidden_act']} is not known here", "another model")
    if said.get("mlp_bias") or (kind == "llama" and said.get("attention_bias")):
        raise UserError("model", kind, "biases in all of its layers are not known here", "another model")
    return _built(llama.Config, {
        "width": said.get("hidden_size"),
        "depth": said.get("num_hidden_layers"),
        "heads": said.get("num_attention_heads"),
        "kv_heads": said.get("num_key_value_heads") or 0,
        "head_width": said.get("head_dim") or 0,
        "hidden": said.get("intermediate_size"),
        "positions": said.get("max_position_embeddings", 2048),
        "vocabulary": said.get("vocab_size"),
        "theta": float(rope.get("rope_theta", said.get("rope_theta", 10_000.0))),
        "scaling": tuple(float(rope[key]) for key in keys) if scaled == "llama3" else (),
        "eps": said.get("rms_norm_eps", 1e-6),
        "bias": kind == "qwen2",
        "head_norm": kind == "qwen3",
        "tied": bool(said.get("tie_word_embeddings", False)),
    })  # fmt: skip


def _gpt2(said: Mapping[str, Any]) -> gpt2.Config:
    if said.get("activation_function", "gelu_new") not in ("gelu_new", "gelu_pytorch_tanh"):
        raise UserError("model", "gpt2", f"activation {said['activation_function']} is not known here", "another model")
    return _built(gpt2.Config, {
        "width": said.get("n_embd", 768),
        "depth": said.get("n_layer", 12),
        "heads": said.get("n_head", 12),
        "hidden": said.get("n_inner") or 0,
        "positions": said.get("n_positions", 1024),
        "vocabulary": said.get("vocab_size", 50257),
        "eps": said.get("layer_norm_epsilon", 1e-5),
    })  # fmt: skip


def _built(kind: type[Config], settings: Mapping[str, Any]) -> Config:
    built: Config = recipe.build(kind, settings, "config.json")
    return built
