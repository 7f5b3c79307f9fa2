"""Coarse networks: attributes follow tensors, and what makes a network its own survives."""

import copy
import logging
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from netwright.core.error import UserError
from netwright.train.multilevel.coarsen import ScaledLinear
from netwright.train.multilevel.hierarchy import Hierarchy
from netwright.train.multilevel.spaces import Axis, Coupling, Space, written


def build(model, example, spec, **settings):
    torch.manual_seed(1)
    found = Hierarchy.build(model, example, spaces=spec, **settings)
    assert found.check().worst < 1e-12
    return found.levels[1].model


CONVOLUTIONS = {
    "0.weight": ("c", None, None, None), "0.bias": ("c",), "1.weight": ("c",), "1.bias": ("c",),
    "1.running_mean": ("c",), "1.running_var": ("c",), "3.weight": ("c", None, None, None), "3.bias": ("c",),
    "4.weight": ("c:in", "u", None, None), "4.bias": ("u",), "5.weight": ("u",), "5.bias": ("u",),
    "7.weight": (None, "u:in*16"),
}  # fmt: skip


def convolutions():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ConvTranspose2d(8, 12, 2, stride=2), nn.GroupNorm(3, 12), nn.Flatten(), nn.Linear(12 * 64, 5),
    )  # fmt: skip


def channels():
    """`CONVOLUTIONS` as a coupling: a spec has no groups, and its flattened axis is (12, 64)."""
    model = convolutions()
    spec = {name: entries for name, entries in CONVOLUTIONS.items() if name != "7.weight"}
    c, u = written(model, spec, uniform=["u"]).spaces
    axes = (*u.axes, Axis("7.weight", 1, "consumer", inner=64))
    return Coupling((c, Space("u", 12, "channel", axes, uniform=True, groups=3)))


def test_every_convolution_and_normalization():
    coarse = build(convolutions(), torch.randn(2, 3, 4, 4), channels())
    assert (coarse[0].in_channels, coarse[0].out_channels) == (3, 4)
    assert coarse[1].num_features == 4
    assert (coarse[3].in_channels, coarse[3].out_channels, coarse[3].groups) == (4, 4, 4)
    assert (coarse[4].in_channels, coarse[4].out_channels) == (4, 6)
    assert (coarse[5].num_groups, coarse[5].num_channels) == (3, 6)
    assert coarse[7].in_features == 6 * 64


def test_groups_of_a_convolution_as_units_and_channels_within_groups():
    model = nn.Sequential(nn.Conv1d(2, 24, 1), nn.Conv1d(24, 24, 1, groups=6), nn.ReLU(), nn.Conv1d(24, 2, 1))
    groups = Space("g", 6, "channel", (
        Axis("0.weight", 0, "producer", inner=4), Axis("0.bias", 0, "producer", inner=4),
        Axis("1.weight", 0, "producer", inner=4), Axis("1.bias", 0, "producer", inner=4),
        Axis("3.weight", 1, "consumer", inner=4),
    ))  # fmt: skip
    within = Space("w", 4, "channel", (Axis("0.weight", 0, "producer", outer=6), Axis("0.bias", 0, "producer", outer=6),
                                       Axis("1.weight", 1, "consumer")))  # fmt: skip
    coarse = build(model, torch.randn(2, 2, 5), Coupling((groups, within)))
    assert (coarse[1].groups, coarse[1].in_channels, coarse[1].out_channels) == (3, 6, 12)


def test_channels_within_the_groups_that_a_grouped_convolution_makes():
    model = nn.Sequential(nn.Conv1d(6, 24, 1, groups=6), nn.ReLU(), nn.Conv1d(24, 12, 1, groups=6), nn.Conv1d(12, 2, 1))
    within = Space("w", 4, "channel", (
        Axis("0.weight", 0, "producer", outer=6), Axis("0.bias", 0, "producer", outer=6),
        Axis("2.weight", 1, "consumer"),
    ))  # fmt: skip
    coarse = build(model, torch.randn(2, 6, 5), Coupling((within,)))
    assert (coarse[0].groups, coarse[0].in_channels, coarse[0].out_channels) == (6, 6, 12)
    assert (coarse[2].groups, coarse[2].in_channels, coarse[2].out_channels) == (6, 12, 12)


@pytest.mark.parametrize("separate", [False, True])
def test_attention_with_fewer_heads_and_a_narrower_stream(separate):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inward = nn.Linear(3, 16)
            self.attention = nn.MultiheadAttention(16, 4, batch_first=True, kdim=5 if separate else None)
            self.out = nn.Linear(16, 2)

        def forward(self, x, memory):
            x = self.inward(x)
            keys = memory if separate else x
            return self.out(x + self.attention(x, keys, x if not separate else x[:, : keys.shape[1]])[0])

    model = Block()
    if separate:
        projections = {f"attention.{p}_proj_weight": ("h*4", "s:in" if p in "qv" else None) for p in "qkv"}
        projections["attention.in_proj_bias"] = ("3*h*4",)
    else:
        projections = {"attention.in_proj_weight": ("3*h*4", "s:in"), "attention.in_proj_bias": ("3*h*4",)}
    spec = {
        "inward.weight": ("s", None), "inward.bias": ("s",), **projections, "attention.out_proj.bias": ("s",),
        "attention.out_proj.weight": ("s", "h*4:in"), "out.weight": (None, "s:in"),
    }  # fmt: skip
    coarse = build(model, (torch.randn(2, 6, 3), torch.randn(2, 6, 5)), spec)
    attention = coarse.attention
    assert (attention.embed_dim, attention.num_heads, attention.head_dim) == (8, 2, 4)
    assert attention.kdim == (5 if separate else 8)


class Heads(nn.Module):
    """Attention as people write it: sizes in attributes, some of them equal by chance."""

    def __init__(self, width=16, heads=4, settings=None):
        super().__init__()
        self.width, self.heads, self.head_dim = width, heads, width // heads
        self.positions = 16  # the same number as the width, and not a width
        self.settings = settings
        self.embed = nn.Embedding(11, width)
        self.place = nn.Parameter(torch.randn(self.positions, width))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.head = nn.Linear(width, 3)

    def forward(self, ids):
        batch, tokens = ids.shape
        assert tokens <= self.positions
        x = self.embed(ids) * math.sqrt(self.settings.scale) + self.place[:tokens]
        q, k, v = self.qkv(self.norm(x)).split(self.heads * self.head_dim, 2)
        q, k, v = (part.view(batch, tokens, self.heads, self.head_dim).transpose(1, 2) for part in (q, k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        x = x + self.out(mixed.reshape(batch, tokens, self.settings.sizes[0]))
        assert x.shape[2] == self.width
        return self.head(x.mean(1))


HEADS = {
    "embed.weight": (None, "s"), "place": (None, "s"), "qkv.weight": ("3*h*4", "s:in"), "qkv.bias": ("3*h*4",),
    "out.weight": ("s", "h*4:in"), "out.bias": ("s",), "head.weight": (None, "s:in"),
}  # fmt: skip


def heads(model):
    return written(model, HEADS, uniform=["s"])


def test_sizes_in_attributes_tuples_and_settings_are_found():
    settings = SimpleNamespace(scale=16, sizes=(16, 7), log=logging.getLogger("netwright.test"))
    settings.log.setLevel(16)
    model = Heads(settings=settings)
    coarse = build(model, torch.randint(0, 11, (2, 16)), heads(model))
    assert (coarse.width, coarse.heads, coarse.head_dim, coarse.positions) == (8, 2, 4, 16)
    assert coarse.norm.normalized_shape == (8,)
    assert coarse.settings.sizes == (8, 7)
    assert coarse.settings.scale == 16, "a factor that must stay, whatever it is equal to"
    assert (model.width, model.settings.sizes, settings.log.level) == (16, (16, 7), 16), "what is shared is not touched"


def test_only_heads_leave_the_width():
    model = Heads(settings=SimpleNamespace(scale=3, sizes=[16]))
    spec = {"qkv.weight": ("3*h*4", None), "qkv.bias": ("3*h*4",), "out.weight": (None, "h*4:in")}
    coarse = build(model, torch.randint(0, 11, (2, 9)), spec)
    assert (coarse.width, coarse.heads, coarse.head_dim, coarse.settings.sizes) == (16, 2, 4, [8])
    assert coarse.norm.normalized_shape == (16,)


class Stubborn(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x):
        return self.down(torch.relu(self.up(x)).view(-1, 8))


STUBBORN = {"up.weight": ("h", None), "up.bias": ("h",), "down.weight": (None, "h:in")}


def test_a_size_written_in_the_code_asks_for_a_factory():
    with pytest.raises(UserError, match=r"(?s)cannot run with smaller tensors.*factory=.*h: 4"):
        Hierarchy.build(Stubborn(), torch.randn(2, 3), spaces=STUBBORN)


class Obliging(Stubborn):
    def __init__(self, width):
        super().__init__()
        self.up, self.down, self.size = nn.Linear(3, width), nn.Linear(width, 2), {"h": width}

    def forward(self, x):
        return self.down(torch.relu(self.up(x)).view(-1, self.size["h"]))


def test_a_factory_builds_what_cannot_be_found():
    asked = []

    def factory(sizes):
        asked.append(dict(sizes))
        return Obliging(sizes["h"])

    model = Obliging(8).eval()
    model.up.bias.requires_grad_(False)
    found = Hierarchy.build(model, torch.randn(2, 3), levels=3, spaces=STUBBORN, factory=factory)
    assert asked == [{"h": 4}, {"h": 2}]
    assert found.check().worst < 1e-12
    coarse = found.levels[1].model
    assert torch.equal(coarse.up.weight, found.levels[0].transfer.restrict("up.weight", model.up.weight))
    assert not coarse.up.bias.requires_grad
    assert coarse.up.weight.requires_grad
    assert not coarse.training


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda sizes: Obliging(5), r"up\.weight: \(4, 3\), not \(5, 3\)"),
        (lambda sizes: nn.Sequential(Obliging(4)), r"up\.weight: \(4, 3\), not None"),
        (lambda sizes: nn.ModuleDict({}), "not None"),
    ],
)
def test_a_factory_of_other_shapes_is_told_which(made, message):
    with pytest.raises(UserError, match=message):
        Hierarchy.build(Obliging(8), torch.randn(2, 3), spaces=STUBBORN, factory=made)


def test_a_factory_whose_network_computes_something_else_is_refused():
    class Other(Obliging):
        def forward(self, x):
            return super().forward(x) + 1

    with pytest.raises(UserError, match="differs by"):
        Hierarchy.build(Obliging(8), torch.randn(2, 3), spaces=STUBBORN, factory=lambda sizes: Other(sizes["h"]))


def test_a_wrong_spec_is_found_out():
    model = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    spec = {
        "0.weight": ("h", None),
        "0.bias": ("h:in",),
        "1.weight": ("h",),
        "1.bias": ("h",),
        "2.weight": (None, "h:in"),
    }
    with pytest.raises(UserError, match="differs by"):
        Hierarchy.build(model, torch.randn(4, 3), spaces=spec)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(10, 8)
        self.norm = nn.LayerNorm(8)
        self.up, self.down = nn.Linear(8, 12), nn.Linear(12, 8)
        self.head = nn.Linear(8, 10)
        self.head.weight = self.tokens.weight

    def forward(self, ids):
        x = self.tokens(ids)
        return self.head(x + self.down(torch.tanh(self.up(self.norm(x)))))


def tied():
    model = Tied()
    spec = {
        "tokens.weight": (None, "s"), "norm.weight": ("s",), "norm.bias": ("s",), "up.weight": ("u", "s:in"),
        "up.bias": ("u",), "down.weight": ("s", "u:in"), "down.bias": ("s",),
    }  # fmt: skip
    spaces = {space.name: space for space in written(model, spec).spaces}
    stream = Space("s", 8, "stream", spaces["s"].axes, uniform=True, scaled=("head",))
    return model, Coupling((stream, spaces["u"]))


def test_a_tied_embedding_stays_tied_and_its_reader_is_scaled_at_every_level():
    model, coupling = tied()
    found = Hierarchy.build(model, torch.randint(0, 10, (2, 5)), levels=3, spaces=coupling)
    assert found.check().worst < 1e-12
    for level, scale in zip(found.levels[1:], (2, 4), strict=True):
        assert level.model.head.weight is level.model.tokens.weight
        assert isinstance(level.model.head, ScaledLinear)
        assert level.model.head.scale == scale
        assert f"scale={scale}" in repr(level.model.head)
    assert type(model.head) is nn.Linear
    assert not isinstance(model.head, ScaledLinear)
    assert set(found.levels[1].model.state_dict()) == set(model.state_dict())


def test_a_reader_of_the_embedding_with_a_forward_of_its_own_freezes_the_stream():
    class Own(nn.Linear):
        def forward(self, x):
            return super().forward(x) / 2

    model, coupling = tied()
    model.head = Own(8, 10)
    model.head.weight = model.tokens.weight
    found = Hierarchy.build(model, torch.randint(0, 10, (2, 5)), spaces=coupling)
    assert "not a plain nn.Linear" in found.check().frozen["s"]
    assert found.levels[1].model.up.weight.shape == (6, 8)


def test_modes_layouts_dtypes_hooks_buffers_and_frozen_parameters_survive():
    model = convolutions().to(memory_format=torch.channels_last)
    calls = []
    model[2].register_forward_hook(lambda module, args, out: calls.append(out.shape))
    model[0].weight.requires_grad_(False)
    model[1].eval()
    model.register_buffer("mask", torch.tensor([1, 0, 1]))
    model.register_buffer("scratch", torch.ones(2), persistent=False)
    model[1].num_batches_tracked.fill_(7)
    found = Hierarchy.build(model, torch.randn(2, 3, 4, 4), spaces=channels())
    coarse = found.levels[1].model
    assert model.training
    assert coarse.training
    assert not coarse[1].training
    assert coarse[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not coarse[0].weight.requires_grad
    assert isinstance(coarse[0].weight, nn.Parameter)
    assert coarse[1].num_batches_tracked == 7
    assert coarse.mask.tolist() == [1, 0, 1]
    assert "scratch" in coarse._non_persistent_buffers_set
    assert coarse.scratch is not model.scratch
    calls.clear()
    coarse(torch.randn(2, 3, 4, 4))
    assert calls == [(2, 4, 4, 4)]
    shared = {x.data_ptr() for x in model.state_dict().values()} & {x.data_ptr() for x in coarse.state_dict().values()}
    assert not shared


def test_building_changes_nothing_of_the_fine_network_nor_the_random_state():
    model = Heads(settings=SimpleNamespace(scale=16, sizes=(16,)))
    model.train()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    found = Hierarchy.build(model, torch.randint(0, 11, (1, 4), generator=torch.Generator()), spaces=heads(model))
    found.check()
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())
    assert model.training


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_levels_keep_the_precision_of_the_network(dtype):
    model = convolutions().to(dtype)
    found = Hierarchy.build(model, torch.randn(2, 3, 4, 4), spaces=channels())
    assert {value.dtype for value in found.levels[1].model.parameters()} == {dtype}
    assert found.check().worst < 1e-12, "measured in float64"


def test_a_network_of_float32_only_is_measured_in_float32():
    class Single(nn.Sequential):
        def forward(self, x):
            assert x.dtype == torch.float32
            return super().forward(x)

    model = Single(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    spec = {"0.weight": ("h", None), "0.bias": ("h",), "2.weight": (None, "h:in")}
    assert 0 < Hierarchy.build(model, torch.randn(9, 3), spaces=spec).check().worst < 1e-6


class InDictionary(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down, self.sizes = nn.Linear(3, 8), nn.Linear(8, 2), {"wide": 8, "deep": 2}

    def forward(self, x):
        return self.down(torch.relu(self.up(x)).view(-1, self.sizes["wide"]))


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (lambda: nn.Sequential(nn.Linear(3, 8), nn.PReLU(8), nn.Linear(8, 2)), (2, 3)),
        (lambda: nn.Sequential(nn.Linear(3, 128), nn.Unflatten(1, (8, 4, 4)), nn.ReLU(), nn.Conv2d(8, 2, 1)), (2, 3)),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(8), nn.Conv2d(8, 2, 1)), (3, 9, 9)),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 1), nn.LayerNorm([8, 8, 8]), nn.Conv2d(8, 2, 1)), (2, 3, 8, 8)),
        (lambda: nn.Sequential(nn.Conv1d(3, 8, 1), nn.ConvTranspose1d(8, 8, 2, groups=8), nn.Conv1d(8, 2, 1)), (3, 8)),
        (InDictionary, (2, 3)),
    ],
    ids=["prelu", "unflatten", "pool", "layer norm of an image", "depthwise transposed", "dictionary"],
)  # fmt: skip
def test_traced_modules_with_sizes_of_their_own(model, example):
    torch.manual_seed(0)
    found = Hierarchy.build(model(), torch.randn(example))
    assert found.check().worst < 1e-12
    assert [row.sizes for row in found.rows() if row.merged] == [(8, 4)]
