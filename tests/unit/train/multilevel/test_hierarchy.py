"""Hierarchies: prolonged networks compute what the coarse ones do, for written and for traced spaces."""

import copy
import warnings

import pytest
import torch
from torch import nn

from netwright.core.error import UserError
from netwright.models import resnet, transformer
from netwright.train.multilevel.hierarchy import Hierarchy
from netwright.train.multilevel.spaces import Axis, Coupling, Space

SPEC = {
    "0.weight": ("a", None), "0.bias": ("a",), "2.weight": ("b", "a:in"), "2.bias": ("b",), "3.weight": ("b",),
    "3.bias": ("b",), "3.running_mean": ("b",), "3.running_var": ("b",), "5.weight": (None, "b:in"),
}  # fmt: skip


def mlp(a=32, b=16):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, a), nn.GELU(), nn.Linear(a, b), nn.BatchNorm1d(b), nn.Tanh(), nn.Linear(b, 3))


def built(model=None, **settings):
    return Hierarchy.build(model or mlp(), torch.randn(4, 10), **{"spaces": SPEC, **settings})


@pytest.mark.parametrize("settings", [{}, {"matching": "fixed"}, {"similarity": "activation"}, {"spaces": None}])
def test_prolonged_mlp_computes_what_the_coarse_one_does(settings):
    found = built(levels=3, **settings)
    assert [level.model[2].weight.shape for level in found.levels] == [(16, 32), (8, 16), (4, 8)]
    assert [level.parameters for level in found.levels] == [963, 355, 147]
    assert len(found.check().errors) == 2
    assert found.check().worst < 1e-12


def test_prolonging_copies_the_function_and_restricting_it_again_changes_nothing():
    found = built()
    fine, coarse = (level.model.eval() for level in found.levels)
    with torch.no_grad():
        for value in [*coarse.parameters(), coarse[3].running_mean]:
            value.add_(torch.randn_like(value))
    coarse[3].num_batches_tracked.fill_(5)
    before = copy.deepcopy(coarse.state_dict())
    found.prolong(1)
    x = torch.randn(7, 10)
    assert torch.allclose(fine(x), coarse(x), rtol=0, atol=1e-5)
    assert fine[3].num_batches_tracked == 5
    found.restrict(0)
    assert all(torch.allclose(value, before[name]) for name, value in coarse.state_dict().items())


def test_restriction_is_what_the_coarse_network_begins_with():
    found = built()
    before = copy.deepcopy(found.levels[1].model.state_dict())
    with torch.no_grad():
        for value in found.levels[1].model.parameters():
            value.zero_()
    found.restrict(0)
    assert all(torch.equal(value, before[name]) for name, value in found.levels[1].model.state_dict().items())


def test_matching_again_follows_the_weights_and_keeps_shapes_and_modules():
    found = built(levels=3)
    models = [level.model for level in found.levels]
    old = found.get_matching()
    with torch.no_grad():
        models[0][0].weight[0], models[0][0].bias[0] = models[0][0].weight[31], models[0][0].bias[31]
    assert old[0]["a"][0] != old[0]["a"][31]
    found.rematch()
    new = found.get_matching()
    assert new[0]["a"][0] == new[0]["a"][31]
    assert [level.model for level in found.levels] == models
    assert found.check().worst < 1e-12
    other = built(levels=3)
    other.set_matching(new)
    assert all(torch.equal(other.get_matching()[k][name], new[k][name]) for k in range(2) for name in ("a", "b"))


def test_the_same_network_is_matched_the_same_way():
    first, second = built(levels=3).get_matching(), built(levels=3).get_matching()
    assert all(torch.equal(a[name], b[name]) for a, b in zip(first, second, strict=True) for name in a)


def test_only_kinds_and_sizes_that_were_asked_for():
    assert [row.sizes for row in built(levels=3, min_size=8).rows()] == [(32, 16, 8), (16, 8, 8)]
    with pytest.raises(UserError, match="only head"):
        built(only=["head"])
    model = transformer.Transformer(transformer.Config(width=16, heads=4, dropout=0.0), 20, 3).eval()
    example = {"ids": torch.randint(0, 20, (2, 6)), "mask": torch.ones(2, 6, dtype=torch.bool)}
    found = Hierarchy.build(model, example, only=["head"])
    assert {row.kind for row in found.rows() if row.merged} == {"head"}
    assert found.levels[1].model.blocks[0].qkv.weight.shape == (24, 16)
    assert found.check().worst < 1e-6


def test_the_table_says_sizes_similarity_and_why():
    spaces = (Space("odd", 15, "unit", (Axis("0.weight", 0, "producer"),), uniform=True),)
    coupling = Coupling((*built().levels[0].coupling.spaces, *spaces), ("a note",))
    found = built(spaces=coupling)
    a, _, odd = found.rows()
    assert (a.name, a.sizes, a.kind, a.frozen, a.merged) == ("a", (32, 16), "unit", "", True)
    assert 0 < a.similarity[0] < 1
    assert (odd.sizes, odd.similarity, odd.merged) == ((15, 15), (None,), False)
    report = found.check()
    assert report.frozen == {
        "odd": "15 units, an odd number, have no equal pairs, which a normalization over them needs"
    }
    text = str(report)
    assert "level 0 from 1: largest relative error" in text
    assert "not coarsened: odd: 15 units" in text
    assert text.endswith("a note")
    assert built(matching="fixed").rows()[0].similarity == (None,)


def test_reports_find_a_coarse_network_that_computes_something_else():
    found = built()
    found.levels[1].model[1] = nn.ReLU()
    assert found.check().worst > 1e-2


@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 7), (7, 2), (2, 1), (3, 3)])
def test_odd_and_single_units(a, b):
    model = mlp(a, b)
    if max(a, b) == 1:
        with pytest.raises(UserError, match="1 units cannot be halved"):
            built(model)
        return
    found = built(model)
    assert found.levels[1].model[2].weight.shape == (-(-b // 2), -(-a // 2))
    assert found.check().worst < 1e-12


def test_one_network_without_levels():
    found = built(levels=1)
    assert len(found.levels) == 1
    assert found.check().errors == ()
    found.rematch()


def test_more_levels_than_there_are_units_to_halve():
    with pytest.raises(UserError, match="at most 3, nothing is left"):
        built(mlp(4, 4), levels=9)


def test_a_network_with_nothing_to_coarsen_says_why():
    with pytest.raises(
        UserError, match=r"levels = 2: at most 1, nothing is left to coarsen .*an output of the network"
    ):
        Hierarchy.build(nn.Linear(4, 4), torch.randn(2, 4))
    with pytest.raises(UserError, match="at most 1"):
        Hierarchy.build(nn.ReLU(), torch.randn(2, 4))


def test_weights_that_diverged_are_named():
    model = mlp()
    with torch.no_grad():
        model[0].weight[3, 3] = torch.nan
    with pytest.raises(UserError, match=r"0\.weight"):
        built(model)


def test_a_layer_normalized_over_two_units_is_kept():
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 1))
    axes = (
        Axis("0.weight", 0, "producer"), Axis("0.bias", 0, "producer"), Axis("1.weight", 0, "producer"),
        Axis("1.bias", 0, "producer"), Axis("2.weight", 1, "consumer"),
    )  # fmt: skip
    with pytest.raises(UserError, match="constant"):
        Hierarchy.build(model, torch.randn(2, 3), spaces=Coupling((Space("s", 2, "stream", axes, uniform=True),)))


def test_the_encoder_of_torch_between_inputs_and_outputs_keeps_its_heads():
    """torch's attention needs as many features as its stream, which an input of the network fixes here."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)
    found = Hierarchy.build(
        nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.randn(2, 5, 16), levels=3
    )
    assert found.check().worst < 1e-6
    assert {row.kind for row in found.rows() if row.merged} == {"unit"}
    assert all(row.frozen for row in found.rows() if row.kind == "head")
    assert found.levels[2].model.layers[1].linear1.out_features == 8


class Square(nn.Module):
    """Attention that takes its heads to be as wide together as the stream."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(16, 48), nn.Linear(16, 16), 4

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Squares(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.second = Square(), Square()
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        x = x + self.attention(x)
        x = x + self.second(x)
        return x + self.down(torch.tanh(self.up(x)))


def test_heads_that_a_module_cannot_do_without_are_kept_with_a_reason():
    torch.manual_seed(0)
    found = Hierarchy.build(Squares(), torch.randn(2, 5, 16), levels=3)
    assert found.check().worst < 1e-12
    assert {row.name: row.sizes for row in found.rows() if row.merged} == {"up": (32, 16, 8)}
    heads = [row.frozen for row in found.rows() if row.kind == "head"]
    assert len(heads) == 2
    assert all("not merged, as attention cannot run with smaller tensors" in why for why in heads)


class Written(nn.Module):
    """One of its three widths stands in the code."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three, self.four = (nn.Linear(*io) for io in ((3, 8), (8, 12), (12, 16), (16, 2)))

    def forward(self, x):
        x = torch.tanh(self.two(torch.tanh(self.one(x)))).reshape(-1, 12)
        return self.four(torch.tanh(self.three(x)))


def test_a_width_that_stands_in_the_code_is_kept_and_the_others_are_merged():
    torch.manual_seed(0)
    found = Hierarchy.build(Written(), torch.randn(5, 3), levels=2)
    assert [row.sizes for row in found.rows()][:3] == [(8, 4), (12, 12), (16, 8)]
    assert "not merged, as" in found.rows()[1].frozen
    assert found.check().worst < 1e-12
    found.restrict(0)
    found.prolong(1)


def test_a_mistake_of_tracing_is_noticed_and_left_out(monkeypatch):
    from netwright.train.multilevel import coupling

    correct = built(spaces=None).levels[0].coupling
    first, second, *rest = correct.spaces
    wrong = Space(first.name, first.size, first.kind, tuple(axis for axis in first.axes if axis.role == "producer"))
    monkeypatch.setattr(coupling, "trace", lambda model, example: Coupling((wrong, second, *rest)))
    found = built(spaces=None)
    assert [row.sizes for row in found.rows()][:2] == [(32, 32), (16, 8)]
    assert "differs by" in found.check().frozen[first.name] or "cannot run" in found.check().frozen[first.name]
    assert found.check().worst < 1e-12
    with pytest.raises(UserError, match="give factory="):
        built(spaces=Coupling((wrong, second, *rest)))


def test_a_network_that_cannot_be_copied_is_refused():
    model = mlp()
    model.last = model(torch.randn(4, 10))  # a computed tensor, which has a graph
    with pytest.raises(UserError, match="model = 'Sequential .*a module that copy.deepcopy can copy"):
        built(model)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"matching": "best"}, "matching"), ({"similarity": "l2"}, "similarity"), ({"levels": 0}, "1 or more")],
)
def test_settings_that_do_not_exist(settings, message):
    with pytest.raises(UserError, match=message):
        built(**settings)


class Classifier(nn.Module):
    """torch's own encoder between an embedding and a head, so that its stream is free."""

    def __init__(self, norm_first):
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.1, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, ids):
        return self.head(self.encoder(self.embed(ids)).mean(1))


def ids(*shape):
    return torch.randint(0, 20, shape or (2, 7), generator=torch.Generator().manual_seed(0))


def of_transformers(name):
    import transformers as hf

    shared = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 16, "intermediate_size": 32}
    text = {**shared, "vocab_size": 20, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2}
    image = {"pixel_values": torch.randn(2, 3, 16, 16)}
    stages = {"depths": [1, 2], "num_labels": 5}
    makers = {
        "bert": lambda: (hf.BertForSequenceClassification(hf.BertConfig(**text)), {"input_ids": ids()}),
        "gpt2": lambda: (
            hf.GPT2LMHeadModel(
                hf.GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=4, n_positions=16, use_cache=False,
                              bos_token_id=1, eos_token_id=2)
            ),
            {"input_ids": ids()},
        ),
        "llama": lambda: (
            hf.LlamaForCausalLM(
                hf.LlamaConfig(**text, num_key_value_heads=2, use_cache=False, tie_word_embeddings=True)
            ),
            {"input_ids": ids()},
        ),
        "vit": lambda: (
            hf.ViTForImageClassification(hf.ViTConfig(**shared, image_size=16, patch_size=4, num_labels=5)), image,
        ),
        "resnet": lambda: (
            hf.ResNetForImageClassification(hf.ResNetConfig(embedding_size=8, hidden_sizes=[16, 32], **stages)),
            {"pixel_values": torch.randn(2, 3, 32, 32)},
        ),
        "convnext": lambda: (
            hf.ConvNextForImageClassification(hf.ConvNextConfig(hidden_sizes=[8, 16], num_stages=2, **stages)),
            {"pixel_values": torch.randn(2, 3, 32, 32)},
        ),
    }  # fmt: skip
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return makers[name]()


@pytest.mark.parametrize(
    ("name", "kinds", "share"),
    [
        ("bert", {"stream", "head", "unit"}, 0.4), ("gpt2", {"stream", "head", "unit"}, 0.4),
        ("llama", {"stream", "head", "unit"}, 0.4), ("vit", {"stream", "head", "unit"}, 0.4),
        ("resnet", {"stream", "channel"}, 0.4), ("convnext", {"stream", "unit"}, 0.4),
    ],
)  # fmt: skip
def test_networks_that_nobody_wrote_for_this(name, kinds, share):
    model, example = of_transformers(name)
    found = Hierarchy.build(model.eval(), example)
    assert found.check().worst <= 1e-6
    assert kinds <= {row.kind for row in found.rows() if row.merged}
    assert found.levels[1].parameters < share * found.levels[0].parameters


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_encoder_of_torch(norm_first):
    torch.manual_seed(0)
    found = Hierarchy.build(Classifier(norm_first), ids(), levels=3)
    assert found.check().worst <= 1e-6
    attention = found.levels[2].model.encoder.layers[0].self_attn
    assert (attention.embed_dim, attention.num_heads, attention.head_dim) == (4, 1, 4)
    found.levels[2].model.train()(ids())


def test_our_networks():
    torch.manual_seed(0)
    cnn = resnet.ResNet9(resnet.Config(width=4), 3, 10)
    found = Hierarchy.build(cnn, {"image": torch.randn(2, 3, 32, 32)}, levels=3)
    assert found.check().worst <= 1e-6
    assert found.levels[2].model.head.weight.shape == (10, 4)
    model = transformer.Transformer(transformer.Config(width=16, heads=4), 20, 3)
    found = Hierarchy.build(model, {"ids": ids(), "mask": torch.ones(2, 7, dtype=torch.bool)}, levels=3)
    assert found.check().worst <= 1e-6
    assert [level.model.blocks[0].heads for level in found.levels] == [4, 2, 1]


def test_a_coarse_network_trains_and_hands_back_what_it_learned():
    found = built(similarity="activation")
    coarse = found.levels[1].model
    optimizer = torch.optim.SGD(coarse.parameters(), lr=0.1)
    x, y = torch.randn(64, 10), torch.randn(64, 3)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.mse_loss(coarse(x), y).backward()
        optimizer.step()
    found.prolong(1)
    fine, coarse = (level.model.eval() for level in found.levels)
    with torch.no_grad():
        assert torch.allclose(fine(x), coarse(x), rtol=0, atol=1e-5)
