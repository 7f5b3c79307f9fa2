"""The shape of an LLM out of the config.json of a Hugging Face model.

    fields(Path("Qwen3-8B/config.json"))      # {"name": ..., "layers": 36, "hidden": 4096, ...}

Families name the same thing differently; the table below holds the names. What it does not know: models
that are no decoder-only transformer, and shapes that only the model's code holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netwright.core import artifact
from netwright.core.error import UserError

NAMES: Mapping[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "kv_heads": ("num_key_value_heads", "n_kv_heads"),
    "head_dim": ("qk_nope_head_dim", "head_dim"),
    "inter": ("intermediate_size_mlp", "intermediate_size", "n_inner", "ffn_dim"),
    "vocab": ("vocab_size",),
    "experts": ("n_routed_experts", "num_local_experts", "num_experts"),
    "top_k": ("num_experts_per_tok", "experts_per_token"),
    "dense_layers": ("first_k_dense_replace",),
    "kv_rank": ("kv_lora_rank",),
    "q_rank": ("q_lora_rank",),
    "value_dim": ("v_head_dim",),
    "sparse": ("index_topk",),
    "window": ("sliding_window", "attention_chunk_size"),
}

DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
UNGATED = ("gpt2", "gptj", "gpt_neox", "opt", "phi", "falcon", "bloom", "nemotron_h")


def fields(path: Path) -> dict[str, Any]:
    """Fields of `llm.LLM`. Raises UserError where the file is none, or describes no language model."""
    values: Any = artifact.read_json(path, 5_000_000)
    if not isinstance(values, dict):
        raise UserError("model", str(path), "no table of settings", "name a config.json")
    inner = values.get("text_config") or values.get("llm_config")
    config = {**values, **inner} if isinstance(inner, dict) else values
    found: dict[str, Any] = {"name": path.parent.name or "model", "source": str(path)}
    for field, names in NAMES.items():
        number = next((config[name] for name in names if isinstance(config.get(name), int)), None)
        if number is not None:
            found[field] = number
    kind = str(config.get("model_type", ""))
    if "inter" not in found and kind.startswith("gpt"):
        found["inter"] = 4 * found.get("hidden", 0)
    found["gated"] = not any(kind == one for one in UNGATED)
    found["tied"] = bool(
        config.get("tie_word_embeddings", kind in ("gpt2", "gemma", "gemma2", "gemma3", "gemma3_text"))
    )
    found["output_gate"] = bool(config.get("attn_output_gate", False))
    if kind == "gpt2":
        found["positions"] = config.get("n_positions", 1024)
    if found.get("kv_rank"):
        found["rope_dim"] = config.get("qk_rope_head_dim", 0)
    _experts(found, config)
    _kinds_of_layer(found, config)
    found["weights"] = _stored(config)
    return found


def _experts(found: dict[str, Any], config: Mapping[str, Any]) -> None:
    if not found.get("experts"):
        for name in ("experts", "top_k", "dense_layers"):
            found.pop(name, None)
        return
    found["expert_inter"] = config.get("moe_intermediate_size") or config.get("intermediate_size", 0)
    found.setdefault("inter", 0)
    shared = config.get("shared_expert_intermediate_size")
    if shared is None:
        shared = config.get("n_shared_experts", 0) * found["expert_inter"]
        shared = found["expert_inter"] if config.get("model_type") == "llama4_text" else shared
    found["shared_inter"] = shared
    if (step := config.get("interleave_moe_layer_step", 1)) > 1:
        found["dense_layers"] = found["layers"] - found["layers"] // step


def _kinds_of_layer(found: dict[str, Any], config: Mapping[str, Any]) -> None:
    """Layers that see a window, and layers with a state."""
    layers, kinds = found.get("layers", 0), config.get("layer_types")
    every = config.get("full_attention_interval")
    if not isinstance(kinds, list) and isinstance(every, int) and every > 0:
        kinds = ["full_attention" if (i + 1) % every == 0 else "linear_attention" for i in range(layers)]
    pattern = config.get("sliding_window_pattern", config.get("_sliding_window_pattern"))
    if not isinstance(kinds, list) and isinstance(pattern, int) and pattern > 0:
        kinds = ["full_attention" if (i + 1) % pattern == 0 else "sliding_attention" for i in range(layers)]
    kinds = kinds if isinstance(kinds, list) else []
    linear = kinds.count("linear_attention")
    near = kinds.count("sliding_attention") + kinds.count("chunked_attention")
    if not kinds and found.get("window") and config.get("use_sliding_window", True):
        near = layers
    if linear:
        key, value = (config.get(f"linear_{x}_head_dim", 0) for x in ("key", "value"))
        keys, values = (config.get(f"linear_num_{x}_heads", 0) for x in ("key", "value"))
        found |= {"linear_layers": linear, "linear_key": key * keys, "linear_value": value * values}
        found["linear_state"] = values * key * value
    found["window_layers"] = near
    if not near:
        found.pop("window", None)


def _stored(config: Mapping[str, Any]) -> str:
    how = config.get("quantization_config")
    if isinstance(how, dict):
        text = " ".join(str(how.get(key, "")) for key in ("quant_method", "quant_algo", "format", "bits")).lower()
        for mark, dtype in (("fp4", "fp4"), ("fp8", "fp8"), ("float-quantized", "fp8"), ("8", "int8"), ("4", "int4")):
            if mark in text:
                return dtype
    return DTYPES.get(str(config.get("torch_dtype") or config.get("dtype")), "bf16")
