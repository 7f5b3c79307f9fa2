"""What layers compute is seen as it is: attention equals its formula, merged channels stand together."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from netwright.train.multilevel import observe
from netwright.train.multilevel.hierarchy import Hierarchy
from netwright.train.multilevel.matching import Aggregation
from netwright.train.multilevel.view import restricted


class Attending(nn.Module):
    """One attention layer, asked of torch, written out, or of nn.MultiheadAttention."""

    def __init__(self, how="asked", causal=False):
        super().__init__()
        self.how, self.causal = how, causal
        self.inner = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x_BTD):
        if self.how == "module":
            return self.inner(x_BTD, x_BTD, x_BTD, need_weights=False)[0]
        if self.how == "module with weights":
            return self.inner(x_BTD, x_BTD, x_BTD)[0]
        q, k, v = (y.unflatten(2, (4, 4)).transpose(1, 2) for y in self.projected(x_BTD))
        if self.how == "asked":
            return functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return torch.softmax(q @ k.transpose(2, 3) / 2, dim=-1) @ v

    def projected(self, x_BTD):
        return functional.linear(x_BTD, self.inner.in_proj_weight, self.inner.in_proj_bias).chunk(3, 2)


@pytest.mark.parametrize("how", ["asked", "written out", "module", "module with weights"])
def test_attention_is_that_of_the_formula(how):
    torch.manual_seed(0)
    model, x_BTD = Attending(how), torch.randn(3, 5, 16)
    (seen,) = observe._patterns(model, x_BTD)
    q, k, _ = (y.unflatten(2, (4, 4)).transpose(1, 2) for y in model.projected(x_BTD))
    assert seen.shape == (4, 5, 5)
    assert torch.allclose(seen, (q @ k.transpose(2, 3) / 2).softmax(-1)[0], atol=1e-6)


def test_a_causal_mask_is_seen():
    (seen,) = observe._patterns(Attending(causal=True), torch.randn(2, 5, 16))
    assert torch.equal(seen.triu(1), torch.zeros_like(seen))
    assert torch.allclose(seen.sum(2), torch.ones(4, 5))


def test_watching_changes_nothing():
    model = Attending("module").train()
    model.inner.eval()  # a mode of its own
    fast, state = torch.backends.mha.get_fastpath_enabled(), {n: x.clone() for n, x in model.state_dict().items()}
    observe._patterns(model, torch.randn(2, 5, 16))
    observe._outputs(model, torch.randn(2, 5, 16))
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert (model.training, model.inner.training) == (True, False)
    assert all(torch.equal(x, state[name]) for name, x in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_padding_is_cut_off_and_an_even_share_is_one():
    weights = torch.zeros(2, 60, 60)
    weights[:, :, :8] = 1 / 8
    weights[0, 3, :8] = torch.tensor([0.93, *[0.01] * 7])
    shown = observe._cut(weights)
    assert shown.shape == (2, 8, 8)
    assert torch.equal(shown[1], torch.ones(8, 8))
    assert torch.allclose(shown[0, 3], weights[0, 3, :8] * 8)
    assert observe._cut(torch.rand(2, 60, 60)).shape == (2, observe.TOKENS, observe.TOKENS)


def test_the_first_queries_of_a_causal_network_do_not_outshine_the_rest():
    even = torch.ones(1, 5, 5).tril()
    assert torch.allclose(observe._cut(even / even.sum(2, keepdim=True)), even)


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 6, 3, padding=1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2),
    )  # fmt: skip


def test_feature_maps_of_merged_channels_stand_together():
    model, images = net(), torch.randn(2, 3, 9, 9)
    found = restricted(Hierarchy.build(model, images))
    layers = observe.feature_maps(found, images)
    assert [layer.title for layer in layers] == ["2: 8 → 4 channels", "3: 6 → 3 channels"]
    merged = found.levels[0].transfer.aggregations
    first = next(a for a in merged.values() if a.size == 4)
    with torch.no_grad():
        expected = model.eval()[:3](images)[0].double().numpy()
        coarse = found.levels[1].model.eval()[:3](images)[0].double().numpy()
    for tile in layers[0].tiles:
        assert len({int(first.assign[unit]) for unit in tile.units}) == 1
        assert all((expected[unit] == image).all() for unit, image in zip(tile.units, tile.fine, strict=True))
        assert (coarse[int(first.assign[tile.units[0]])] == tile.coarse).all()
    shown = [tile.similarity for tile in layers[0].tiles]
    assert shown == sorted(shown, reverse=True)


def test_a_network_without_images_or_heads_has_nothing_to_see():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    found = restricted(Hierarchy.build(model, torch.randn(2, 4)))
    assert observe.feature_maps(found, torch.randn(2, 4)) == observe.attention(found, torch.randn(2, 4)) == []


def test_heads_that_share_keys_are_merged_with_those_of_their_group():
    merged = observe._repeated(Aggregation(torch.tensor([0, 1, 0, 1]), 2, torch.tensor([0.5, 0.25])), 2)
    assert merged.assign.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert (merged.size, merged.similarity.tolist()) == (4, [0.5, 0.5, 0.25, 0.25])


def test_of_many_layers_first_middle_and_last_are_shown():
    assert observe._spread(list(range(12))) == [0, 6, 11]
    assert observe._spread([1, 2]) == [1, 2]
