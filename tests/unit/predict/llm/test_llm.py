"""A language model by its shape: published counts, a pass of it by hand, what a person may type."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.predict import llm
from netwright.predict.llm import LLM

TINY = LLM(name="tiny", layers=2, hidden=8, heads=2, kv_heads=1, inter=16, vocab=10)


@pytest.mark.parametrize("name", sorted(llm.known()))
def test_shape_has_as_many_parameters_as_its_publisher_says(name: str) -> None:
    shape = llm.known()[name]
    assert shape.parameters == pytest.approx(shape.stated, rel=0.012)


@pytest.mark.parametrize(
    ("name", "active"),
    [("Qwen3-30B-A3B", 3.3e9), ("Qwen3-235B-A22B", 22e9), ("DeepSeek-V3", 37e9), ("Mixtral-8x7B", 12.9e9),
     ("Llama-4-Maverick-17B-128E", 17e9), ("GLM-4.5", 32e9), ("Kimi-K2", 32e9), ("Qwen3.5-397B-A17B", 17e9)],
)  # fmt: skip
def test_active_parameters_as_published(name: str, active: float) -> None:
    assert llm.known()[name].active == pytest.approx(active, rel=0.06)


def test_counts_of_a_tiny_model_by_hand() -> None:
    attention = 8 * 8 + 2 * 8 * 4 + 8 * 8
    assert TINY.parameters == 2 * 10 * 8 + 2 * (attention + 3 * 8 * 16)
    assert TINY.weight_bytes == 2 * TINY.parameters
    assert TINY.kv_bytes == 2 * 2 * 4 * 2
    assert TINY.cache_bytes(7) == 7 * TINY.kv_bytes


def test_published_cache_sizes() -> None:
    assert llm.find("Llama-3.1-8B").kv_bytes == 131072  # 128 KiB a token: 32 layers, 8 heads of 128, K and V, 2 B
    assert llm.find("DeepSeek-V3").kv_bytes == 61 * 576 * 2


def test_decode_reads_every_weight_once_and_the_whole_cache() -> None:
    shape = llm.find("Llama-3.1-8B")
    step = shape.decode(batch=4, context=1000)
    weights = sum(o.weight_bytes for o in step.operators)
    assert weights == pytest.approx(shape.weight_bytes - 2 * shape.vocab * shape.hidden, rel=1e-9)
    read = sum(o.input_bytes for o in step.operators if o.name == "attention")
    assert read == pytest.approx(4 * 1001 * shape.kv_bytes, rel=0.01)
    assert step.flops == pytest.approx(2 * 4 * (shape.parameters - shape.vocab * shape.hidden), rel=0.05)


def test_prefill_flops_are_two_a_parameter_and_token_and_attention() -> None:
    shape = llm.find("Llama-3.1-8B")
    matrices = 2 * 2048 * (shape.parameters - 2 * shape.vocab * shape.hidden) + 2 * shape.vocab * shape.hidden
    attention = 32 * 4 * 32 * 128 * 2048 * 2049 / 2
    assert shape.prefill(batch=1, tokens=2048).flops == pytest.approx(matrices + attention, rel=1e-6)


def test_few_tokens_touch_few_experts_and_many_all() -> None:
    shape = llm.find("Qwen3-30B-A3B")
    one, many = (sum(o.weight_bytes for o in shape.decode(n, 1).operators if o.name == "experts") for n in (1, 10**5))
    assert one / many == pytest.approx(8 / 128, rel=1e-6)


def test_a_window_bounds_what_is_read() -> None:
    wide, narrow = (LLM(**{**vars(TINY), "window": w, "window_layers": 2}) for w in (1000, 10))
    assert narrow.decode(1, 500).bytes < wide.decode(1, 500).bytes
    assert narrow.cache_bytes(500) == narrow.cache_bytes(10) < wide.cache_bytes(500)


@settings(deadline=None)
@given(st.sampled_from(sorted(llm.known())), st.integers(1, 64), st.integers(0, 4000), st.sampled_from([1, 2, 8]))
def test_more_devices_do_less_each_and_more_context_more(name: str, batch: int, context: int, devices: int) -> None:
    shape = llm.known()[name]
    alone, shared = shape.decode(batch, context), shape.decode(batch, context, devices)
    assert shared.flops <= alone.flops * 1.0001
    assert shared.bytes <= alone.bytes * 1.0001
    assert shape.decode(batch, context + 100).bytes >= alone.bytes


def test_names_keep_what_they_say_of_weights() -> None:
    assert llm.find("meta-llama/Llama-3.1-8B-Instruct") == llm.known()["Llama-3.1-8B"]
    assert llm.find("Qwen/Qwen3-235B-A22B-Thinking-2507-FP8").attention_weights == "fp8"
    four = llm.find("nvidia/DeepSeek-R1-NVFP4")
    assert (four.weights, four.attention_weights) == ("fp4", "bf16")
    assert four.weight_bytes < 0.62 * llm.find("DeepSeek-R1").weight_bytes


def test_a_described_shape() -> None:
    shape = llm.find("layers=2, hidden=8, heads=2, kv_heads=1, inter=16, vocab=10, tied=true, weights=fp8")
    assert shape.parameters == TINY.parameters - 80
    assert shape.weights == "fp8"


@pytest.mark.parametrize(
    ("text", "said"),
    [("Lama-3.1-8B", "Llama-3.1-8B"), ("layers=2", "hidden"), ("layers=two,hidden=8", "whole number"),
     ("layer=2,hidden=8", "layers"), ("layers=2,hidden=8,heads=2,inter=16,vocab=10,experts=4", "go together"),
     ("layers=-1,hidden=8,heads=2,inter=16,vocab=10", "layers = -1"), ("", "Allowed|allowed")],
)  # fmt: skip
def test_what_is_no_model_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        llm.find(text)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    with contextlib.suppress(UserError):
        assert llm.find(text).parameters > 0


CONFIGS = {
    "gpt-oss-20b": {
        "model_type": "gpt_oss", "num_hidden_layers": 24, "hidden_size": 2880, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 2880, "vocab_size": 201088,
        "num_local_experts": 32, "num_experts_per_tok": 4, "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 12, "tie_word_embeddings": False,
    },
    "DeepSeek-V3": {
        "model_type": "deepseek_v3", "num_hidden_layers": 61, "hidden_size": 7168, "num_attention_heads": 128,
        "num_key_value_heads": 128, "intermediate_size": 18432, "vocab_size": 129280, "n_routed_experts": 256,
        "num_experts_per_tok": 8, "moe_intermediate_size": 2048, "n_shared_experts": 1, "first_k_dense_replace": 3,
        "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "quantization_config": {"quant_method": "fp8"},
    },
    "gpt2": {"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257},
    "Qwen3.5-397B-A17B": {
        "model_type": "qwen3_5_moe", "text_config": {
            "num_hidden_layers": 60, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 2,
            "head_dim": 256, "vocab_size": 248320, "num_experts": 512, "num_experts_per_tok": 10,
            "moe_intermediate_size": 1024, "shared_expert_intermediate_size": 1024, "full_attention_interval": 4,
            "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_value_head_dim": 128,
            "linear_num_value_heads": 64, "attn_output_gate": True,
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_gives_the_shape_that_ships(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[name]))
    read, shipped = llm.find(str(tmp_path)), llm.known()[name]
    assert read.parameters == shipped.parameters
    assert read.active == shipped.active
    assert read.decode(8, 700).flops == shipped.decode(8, 700).flops


@pytest.mark.parametrize("text", ["{}", "[]", "not json", '{"num_hidden_layers": -3}', '{"hidden_size": 1e400}'])
def test_a_broken_config_is_refused_in_words(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserError):
        llm.find(str(path))
