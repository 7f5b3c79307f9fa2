"""Llama and GPT-2 answer what transformers' own answer, token by token and in packed rows."""

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.data.tasks import IGNORED, Input
from netwright.models import causal, gpt2, llama

INPUTS = {"ids": Input((None,), "int64", 61), "positions": Input((None,), "int64")}
SHAPES = {
    "plain": {"kv_heads": 0},
    "shared heads": {"kv_heads": 2},
    "one head of keys": {"kv_heads": 1, "tied": False},
    "wide heads": {"kv_heads": 2, "head_width": 16},
    "biased": {"bias": True},
    "normed heads": {"head_norm": True, "head_width": 8},
    "long angles": {"scaling": (8.0, 1.0, 4.0, 16.0), "theta": 5e5},
}


def built(**settings):
    torch.manual_seed(0)
    return llama.build(llama.Config(width=32, depth=2, heads=4, hidden=48, positions=64, **settings), INPUTS, 0).eval()


def theirs(model):
    c = model.config
    kind, config = transformers.LlamaForCausalLM, transformers.LlamaConfig
    if c.bias:
        kind, config = transformers.Qwen2ForCausalLM, transformers.Qwen2Config
    if c.head_norm:
        kind, config = transformers.Qwen3ForCausalLM, transformers.Qwen3Config
    rope = {"rope_type": "default", "rope_theta": c.theta}
    if c.scaling:
        factor, low, high, first = c.scaling
        rope |= {"rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high}
        rope |= {"original_max_position_embeddings": int(first)}
    made = kind(config(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=c.kv_heads or 4, head_dim=c.head_width or 8, max_position_embeddings=64,
        rms_norm_eps=c.eps, tie_word_embeddings=c.tied, rope_parameters=rope,
    ))  # fmt: skip
    missing, unknown = made.load_state_dict(model.state_dict(), strict=False)
    assert unknown == []
    assert set(missing) <= ({"lm_head.weight"} if c.tied else set())
    return made.eval()


@pytest.mark.parametrize("name", SHAPES)
def test_a_llama_answers_as_transformers_own(name):
    model = built(**SHAPES[name])
    ids = torch.randint(0, 61, (3, 40))
    with torch.inference_mode():
        torch.testing.assert_close(model(ids), theirs(model)(ids).logits, rtol=1e-4, atol=2e-5)


def test_gpt2_answers_as_transformers_own():
    torch.manual_seed(0)
    model = gpt2.build(gpt2.Config(width=32, depth=2, heads=4, positions=64), INPUTS, 0).eval()
    made = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    )
    turned = {n: x.T if n.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")) else x
              for n, x in model.state_dict().items()}  # fmt: skip
    assert made.load_state_dict(turned, strict=False).unexpected_keys == []
    ids = torch.randint(0, 61, (3, 40))
    with torch.inference_mode():
        torch.testing.assert_close(model(ids), made.eval()(ids).logits, rtol=1e-4, atol=2e-5)


@pytest.fixture(params=["llama", "gpt2"])
def network(request):
    torch.manual_seed(1)
    if request.param == "llama":
        return built(kv_heads=2)
    return gpt2.build(gpt2.Config(width=32, depth=2, heads=4, positions=64), INPUTS, 0).eval()


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_reading_in_pieces_is_reading_at_once(cuts):
    for model in (built(kv_heads=2), gpt2.build(gpt2.Config(width=32, depth=2, heads=4, positions=64), INPUTS, 0)):
        model.eval()
        ids = torch.randint(0, 61, (2, sum(cuts)))
        past, parts = model.nothing_read(2), []
        with torch.inference_mode():
            for part in ids.split(cuts, 1):
                logits, past = model(part, past=past)
                parts.append(logits)
            torch.testing.assert_close(torch.cat(parts, 1), model(ids), rtol=1e-4, atol=2e-5)
        assert past[0][0].shape[2] == ids.shape[1]


def test_texts_in_a_row_do_not_see_each_other(network):
    first, second = torch.randint(0, 61, (1, 9)), torch.randint(0, 61, (1, 5))
    row = torch.cat([first, second], 1)
    positions = torch.cat([torch.arange(9), torch.arange(5)])[None]
    with torch.inference_mode():
        both = network(row, positions)
        torch.testing.assert_close(both[:, :9], network(first), rtol=1e-4, atol=2e-5)
        torch.testing.assert_close(both[:, 9:], network(second), rtol=1e-4, atol=2e-5)
        assert not torch.allclose(network(row)[:, 9:], both[:, 9:], atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    counted=st.lists(st.booleans(), min_size=1, max_size=30).filter(any),
    smoothing=st.sampled_from([0.0, 0.1]),
    piece=st.sampled_from([1, 100, 10_000]),
)
def test_the_loss_in_pieces_is_the_loss(counted, smoothing, piece):
    torch.manual_seed(0)
    x, weight = torch.randn(len(counted), 8, requires_grad=True), torch.randn(33, 8, requires_grad=True)
    labels = torch.where(torch.tensor(counted), torch.randint(0, 33, (len(counted),)), IGNORED)
    before, causal.PIECE = causal.PIECE, piece
    try:
        ours = causal.next_token_loss(x, weight, labels, smoothing)
    finally:
        causal.PIECE = before
    plain = torch.nn.functional.cross_entropy(x @ weight.T, labels, ignore_index=IGNORED, label_smoothing=smoothing)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)
    for a, b in zip(
        torch.autograd.grad(3 * ours, (x, weight)), torch.autograd.grad(3 * plain, (x, weight)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"width": 30}, "not a multiple of heads"), ({"kv_heads": 4, "heads": 6, "width": 36}, "kv_heads"),
     ({"scaling": (1.0,)}, "four numbers"), ({"width": 18, "heads": 6}, "odd")],
)  # fmt: skip
def test_shapes_that_cannot_be_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        llama.Config(**{"heads": 4, **settings})
